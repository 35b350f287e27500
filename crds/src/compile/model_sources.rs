//! Where local models come from: addresses checked, credentials resolved.

use url::Url;

use super::{
    Found, buckets, outbound,
    problem::{ObjectRef, Problem},
    pull_secrets::registry_credentials,
    url::{check_base_url, check_url},
};
use crate::{
    CLAIMS_DIR,
    claw_gateway::{ClaimSource, HttpSource, HuggingFaceSource, ModelSource, OciSource, S3Source},
    gateway_config::{
        HuggingFaceConfig, ObjectsConfig, OciConfig, Redacted, S3Config, SourceConfig,
    },
    secret_ref::SecretValue,
};

const NO_CREDENTIALS: &str = "use a URL that needs none, or a path on a volume";

/// A source, whose field this is.
pub(super) fn compile(
    gateway: &ObjectRef,
    field: &str,
    source: &ModelSource,
    found: Found<'_>,
) -> Result<SourceConfig, Problem> {
    let at = At {
        gateway,
        field,
        found,
    };
    let ModelSource {
        path,
        http,
        hugging_face,
        s3,
        oci,
        persistent_volume_claim,
    } = source;
    match (path, http, hugging_face, s3, oci, persistent_volume_claim) {
        (Some(path), None, None, None, None, None) => Ok(SourceConfig::Path(path.clone())),
        (None, Some(http), None, None, None, None) => at.http(http),
        (None, None, Some(hub), None, None, None) => at.hugging_face(hub),
        (None, None, None, Some(s3), None, None) => at.s3(s3),
        (None, None, None, None, Some(oci), None) => at.oci(oci),
        (None, None, None, None, None, Some(claim)) => Ok(SourceConfig::Path(claim_path(claim))),
        _ => Err(Problem::invalid(
            gateway,
            field,
            "a source is one of path, http, huggingFace, s3, oci and persistentVolumeClaim",
            "set exactly one of them",
        )),
    }
}

/// Where pods mount the claim.
fn claim_path(claim: &ClaimSource) -> String {
    let root = format!("{CLAIMS_DIR}/{}", claim.claim_name);
    claim
        .path
        .as_ref()
        .map_or_else(|| root.clone(), |path| format!("{root}/{path}"))
}

struct At<'a> {
    gateway: &'a ObjectRef,
    field: &'a str,
    found: Found<'a>,
}

impl At<'_> {
    fn http(&self, http: &HttpSource) -> Result<SourceConfig, Problem> {
        let field = format!("{}.http.url", self.field);
        let url = check_url(self.gateway, &field, &http.url, NO_CREDENTIALS)?;
        outbound::check(self.gateway, &field, &url, self.found.outbound)?;
        Ok(SourceConfig::Http {
            url: url.to_string(),
            sha256: http.sha256.clone(),
        })
    }

    fn hugging_face(&self, hub: &HuggingFaceSource) -> Result<SourceConfig, Problem> {
        let field = format!("{}.huggingFace.endpoint", self.field);
        let remedy = "put the token into a Secret and refer to it by token";
        let endpoint = self.base_url(&field, hub.endpoint_or_default(), remedy)?;
        outbound::check(self.gateway, &field, &endpoint, self.found.outbound)?;
        Ok(SourceConfig::HuggingFace(HuggingFaceConfig {
            endpoint: trimmed(&endpoint),
            repo: hub.repo.clone(),
            revision: hub.revision_or_default().to_owned(),
            files: hub.files.clone(),
            token: self.secret("huggingFace.token", hub.token.as_ref())?,
        }))
    }

    fn s3(&self, s3: &S3Source) -> Result<SourceConfig, Problem> {
        let (field, place) = (format!("{}.s3", self.field), s3.place());
        let bucket = (s3.bucket.as_str(), place);
        let endpoint = buckets::endpoint(self.gateway, &field, bucket, self.found.outbound)?;
        let objects = match (&s3.key, &s3.prefix) {
            (Some(key), None) => ObjectsConfig::Key {
                key: key.clone(),
                sha256: s3.sha256.clone(),
            },
            (None, Some(prefix)) => ObjectsConfig::Prefix(prefix.trim_end_matches('/').to_owned()),
            (None, None) | (Some(_), Some(_)) => {
                return Err(self.invalid(
                    "s3",
                    "objects are either one key or a prefix",
                    "set exactly one of key and prefix",
                ));
            }
        };
        let id = self.secret("s3.accessKeyId", s3.access_key_id.as_ref())?;
        let key = self.secret("s3.secretAccessKey", s3.secret_access_key.as_ref())?;
        Ok(SourceConfig::S3(S3Config {
            bucket: s3.bucket.clone(),
            objects,
            region: place.region().to_owned(),
            endpoint: endpoint.to_string(),
            path_style: place.has_path_style(),
            credentials: id.zip(key),
        }))
    }

    fn oci(&self, oci: &OciSource) -> Result<SourceConfig, Problem> {
        let field = format!("{}.oci.reference", self.field);
        let remedy = "put them into a Secret and refer to it by pullSecret";
        let no_repository = || {
            let problem = self.invalid(
                "oci.reference",
                "the reference has no repository",
                "give registry/repository:tag",
            );
            problem.with_value(&oci.reference)
        };
        let (host, rest) = oci.reference.split_once('/').ok_or_else(no_repository)?;
        let (repository, reference) = split_reference(rest);
        let registry = oci.registry_url().ok_or_else(no_repository)?;
        let registry = self.base_url(&field, &registry, remedy)?;
        outbound::check(self.gateway, &field, &registry, self.found.outbound)?;
        let credentials = oci
            .pull_secret
            .as_ref()
            .map(|secret| {
                let field = format!("{}.oci.pullSecret", self.field);
                registry_credentials(self.gateway, &field, &secret.name, host, self.found.secrets)
            })
            .transpose()?;
        Ok(SourceConfig::Oci(OciConfig {
            registry: trimmed(&registry),
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            credentials,
        }))
    }

    fn invalid(&self, part: &str, message: &str, remedy: &str) -> Problem {
        let field = format!("{}.{part}", self.field);
        Problem::invalid(self.gateway, field, message, remedy)
    }

    fn base_url(&self, field: &str, value: &str, remedy: &str) -> Result<Url, Problem> {
        check_base_url(self.gateway, field, value, remedy)
    }

    fn secret(&self, part: &str, value: Option<&SecretValue>) -> Result<Option<Redacted>, Problem> {
        let field = format!("{}.{part}", self.field);
        value
            .map(|value| {
                let at = &value.secret_key_ref;
                self.found.secrets.text(self.gateway, &field, at)
            })
            .transpose()
            .map(|text| text.map(Redacted::new))
    }
}

/// A repository, and the tag or digest behind it: the digest where there are both.
fn split_reference(rest: &str) -> (&str, &str) {
    let (name, digest) = match rest.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (rest, None),
    };
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    (repository, digest.unwrap_or(tag))
}

fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests;
