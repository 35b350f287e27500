//! Where a database is, and how a connection to it is set up. Pure, but for the folder of a file.

use std::fmt;
use std::path::{Path, PathBuf};

use claw_crds::gateway_config::Redacted;
use url::Url;

/// The file's name in the state directory.
const FILE: &str = "state.db";
/// A power failure must not forget what was told to be kept, so every commit is synced; readers and a writer beside
/// each other; a second process waits for a moment.
const SQLITE_SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;";
/// A process that hangs in the middle must not hold others up for ever.
const POSTGRES_SETTINGS: &str = "SET statement_timeout = 3000; SET lock_timeout = 3000; \
                                 SET idle_in_transaction_session_timeout = 10000;";

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    Sqlite(PathBuf),
    /// A server, by its URL.
    Postgres(Redacted),
}

impl Place {
    /// The file in a state directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self::Sqlite(directory.join(FILE))
    }

    /// Whether its time is that of another machine.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    pub(super) fn prepare(&self) -> std::io::Result<()> {
        match self {
            Self::Sqlite(file) => file.parent().map_or(Ok(()), std::fs::create_dir_all),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// With the password.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                let path = Url::from_file_path(&file)
                    .map_or_else(|()| file.display().to_string(), |url| url.path().to_owned());
                format!("sqlite://{path}?mode=rwc")
            }
            Self::Postgres(url) => url.expose().to_owned(),
        }
    }

    pub(super) fn connections(&self) -> u32 {
        match self {
            // More would only wait for each other.
            Self::Sqlite(_) => 1,
            Self::Postgres(_) => 2,
        }
    }

    pub(super) fn settings(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => SQLITE_SETTINGS,
            Self::Postgres(_) => POSTGRES_SETTINGS,
        }
    }
}

/// Without user and password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "the database file {}", file.display()),
            Self::Postgres(url) => match Url::parse(url.expose()) {
                Ok(url) => write!(
                    f,
                    "the PostgreSQL database {}{}",
                    url.host_str().unwrap_or_default(),
                    url.path()
                ),
                Err(_) => f.write_str("the PostgreSQL database"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_without_its_password() {
        let place = Place::Postgres(Redacted::new("postgres://me:hunter2@db.shop:5432/claw?x=y"));
        assert_eq!(place.to_string(), "the PostgreSQL database db.shop/claw");
        assert!(!format!("{place:?}").contains("hunter2"));
    }

    #[test]
    fn any_path_makes_a_url() {
        let place = Place::in_directory(Path::new("/var/lib/a b?#%"));
        assert_eq!(
            place.url(),
            "sqlite:///var/lib/a%20b%3F%23%25/state.db?mode=rwc"
        );
    }
}
