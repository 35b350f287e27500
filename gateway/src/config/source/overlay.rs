//! What the command line says over a configuration from elsewhere.

use std::path::{Path, PathBuf};

use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    ApiKeyConfig, AuthConfig, GrantConfig, ModelPoolConfig, OutboundConfig, Redacted, TlsConfig,
};

use crate::auth::hash_key;
use crate::config::ConfigError;

/// Flags that replace or extend parts of the configuration.
#[derive(Debug, Default)]
pub struct Overlay {
    /// Replaces the certificate.
    pub tls: Option<TlsFiles>,
    /// Replaces the limit.
    pub requests_per_second: Option<u32>,
    /// More keys.
    pub api_key_file: Option<PathBuf>,
    /// One more key, from the environment.
    pub api_key: Option<Redacted>,
    /// Everyone is let in.
    pub allow_anonymous: bool,
    /// What may be called besides.
    pub also_allowed: OutboundConfig,
    /// An audit log is kept, also where the configuration asks for none.
    pub audit: bool,
    /// Replaces what local models share, each where it is given.
    pub model_pool: ModelPoolConfig,
}

/// A certificate in files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Overlay {
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let tls = self
            .tls
            .iter()
            .flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
        tls.chain(self.api_key_file.clone()).collect()
    }

    pub(super) fn apply(
        &self,
        origin: &str,
        mut config: GatewayConfig,
    ) -> Result<GatewayConfig, ConfigError> {
        let mut problems = Vec::new();
        if let Some(tls) = &self.tls {
            match (
                read("--tls-cert", &tls.certificate),
                read("--tls-key", &tls.key),
            ) {
                (Ok(chain), Ok(key)) => {
                    config.tls = Some(TlsConfig {
                        certificate_chain: chain,
                        private_key: Redacted::new(key),
                    });
                }
                (chain, key) => problems.extend([chain.err(), key.err()].into_iter().flatten()),
            }
        }
        if self.requests_per_second.is_some() {
            config.limits.requests_per_second = self.requests_per_second;
        }
        config.outbound.extend(&self.also_allowed);
        if self.audit {
            config.audit.get_or_insert_default();
        }
        let pool = &mut config.model_pool;
        pool.memory_bytes = self.model_pool.memory_bytes.or(pool.memory_bytes);
        pool.disk_bytes = self.model_pool.disk_bytes.or(pool.disk_bytes);
        pool.offline |= self.model_pool.offline;
        match self.keys() {
            Err(problem) => problems.push(problem),
            Ok(keys) => config.auth = self.auth(config.auth, keys),
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError {
                origin: origin.to_owned(),
                problems,
            })
        }
    }

    fn auth(&self, configured: AuthConfig, more: Vec<ApiKeyConfig>) -> AuthConfig {
        match configured {
            _ if self.allow_anonymous => AuthConfig::Anonymous {},
            AuthConfig::Anonymous {} if more.is_empty() => AuthConfig::Anonymous {},
            // Whoever gives keys wants them asked for.
            AuthConfig::Anonymous {} => AuthConfig::ApiKeys(more),
            AuthConfig::ApiKeys(mut keys) => {
                keys.extend(more);
                AuthConfig::ApiKeys(keys)
            }
        }
    }

    fn keys(&self) -> Result<Vec<ApiKeyConfig>, String> {
        let mut keys = Vec::new();
        if let Some(key) = &self.api_key {
            keys.push(ApiKeyConfig {
                name: "env/CLAWDBOT_API_KEY".into(),
                sha256: hash_key(key.expose().trim()),
                grant: GrantConfig::default(),
            });
        }
        if let Some(path) = &self.api_key_file {
            let text = read("--api-key-file", path)?;
            let file = path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let lines = text.lines().map(str::trim).enumerate();
            let before = keys.len();
            keys.extend(
                lines
                    .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
                    .map(|(index, line)| ApiKeyConfig {
                        name: format!("{file}/{}", index + 1),
                        sha256: hash_key(line),
                        grant: GrantConfig::default(),
                    }),
            );
            if keys.len() == before {
                return Err(format!(
                    "--api-key-file {}: holds no key; write one a line",
                    path.display()
                ));
            }
        }
        Ok(keys)
    }
}

fn read(flag: &str, path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{flag} {}: cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture;

    #[test]
    fn keys_of_the_command_line_end_anonymous_access() {
        let overlay = Overlay {
            api_key: Some(Redacted::new("alpha\n")),
            ..Overlay::default()
        };
        let config = overlay
            .apply("here", fixture::config(&[]))
            .expect("applies");
        let AuthConfig::ApiKeys(keys) = config.auth else {
            panic!("still anonymous")
        };
        assert_eq!(keys[0].sha256, hash_key("alpha"));
    }

    #[test]
    fn a_file_of_keys_gives_one_key_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        std::fs::write(&path, "# team\nalpha\n\n beta \n").expect("a file");
        let overlay = Overlay {
            api_key_file: Some(path.clone()),
            ..Overlay::default()
        };
        let names: Vec<_> = overlay
            .keys()
            .expect("readable")
            .into_iter()
            .map(|key| key.name)
            .collect();
        assert_eq!(names, ["keys/2", "keys/4"]);
        std::fs::write(&path, "# nothing\n").expect("a file");
        assert!(overlay.keys().expect_err("no key").contains("holds no key"));
    }

    #[test]
    fn every_unreadable_file_is_named_with_its_flag() {
        let tls = TlsFiles {
            certificate: "/nowhere/tls.crt".into(),
            key: "/nowhere/tls.key".into(),
        };
        let overlay = Overlay {
            tls: Some(tls),
            ..Overlay::default()
        };
        let error = overlay
            .apply("here", fixture::config(&[]))
            .expect_err("no files");
        assert!(
            error.problems[0].starts_with("--tls-cert /nowhere/tls.crt: cannot be read"),
            "{error}"
        );
        assert!(
            error.problems[1].starts_with("--tls-key /nowhere/tls.key: cannot be read"),
            "{error}"
        );
    }
}
