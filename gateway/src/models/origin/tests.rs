//! Each origin against a server of its protocol.

mod hugging_face;
mod oci;
mod s3;

use std::collections::BTreeMap;
use std::path::Path;

use claw_crds::gateway_config::OutboundConfig;

use super::*;
use crate::models::cache::{Cache, CacheError, Rules};

fn outbound() -> Outbound {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Outbound::new(OutboundConfig::unrestricted()).expect("clients")
}

/// Fetch everything of a source; gives the files by name.
async fn fetched(
    source: &SourceConfig,
    state_dir: &Path,
    rules: Rules,
) -> Result<BTreeMap<String, Vec<u8>>, CacheError> {
    let origin = origin_of(source, &outbound()).map_err(crate::models::fetch::FetchError::from)?;
    let origin = origin.expect("elsewhere");
    let cache = Cache::new(state_dir);
    let obtained = cache
        .obtain(&*origin, rules, &|_| false, &mut |_| ())
        .await?;
    let (folder, _held) = obtained.folder.expect("a folder");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
    Ok(obtained
        .contents
        .files
        .iter()
        .map(|file| (file.name.clone(), read(&file.name)))
        .collect())
}

fn names(files: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

async fn refused(source: &SourceConfig) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = fetched(source, folder.path(), Rules::default()).await;
    crate::config::chain(&outcome.expect_err("refused"))
}
