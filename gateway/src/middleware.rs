//! What happens around every handler. `router` orders these; each decides one thing.

mod authenticate;
mod body_limit;
mod client_address;
mod content_encoding;
mod dialect;
mod observe;
mod panic;
mod rate_limit;
mod request_id;
mod unread_body;

pub use authenticate::authenticate;
pub use body_limit::{limit_body, refuse_large};
pub use client_address::locate;
pub use content_encoding::refuse_compressed;
pub use dialect::Dialect;
pub use observe::Observation;
pub use panic::contain_panic;
pub use rate_limit::{RateLimits, limit_rate};
pub use request_id::RequestId;
