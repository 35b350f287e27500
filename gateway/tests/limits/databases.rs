//! Every database that the gateway can remember in.

use clawdbot::store::Place;
use tempfile::TempDir;

use crate::postgres::Postgres;

/// A database of one test.
pub(crate) enum Database {
    Sqlite(TempDir),
    Postgres(Box<Postgres>),
}

/// Which kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Database {
    pub(crate) async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite(tempfile::tempdir().expect("a folder")),
            Kind::Postgres => Self::Postgres(Box::new(Postgres::start().await)),
        }
    }

    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Sqlite(folder) => Place::in_directory(folder.path()),
            Self::Postgres(server) => server.place(),
        }
    }
}
