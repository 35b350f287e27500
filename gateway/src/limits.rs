//! Limits by the minute, day and month, and of answers under way: what a request may use is set aside before a model
//! is asked, and corrected once it is known what was used.
//!
//! `meter` says what is counted from when to when, `book` what this process may give, `ledger` keeps that in step with
//! the database, `permit` is what a request carries. Requests per second are `middleware`'s.

mod book;
mod clock;
mod estimate;
mod ledger;
mod limiter;
mod meter;
mod permit;
mod rows;
mod standing;
mod streams;

pub use book::{Hold, Need, Standing};
pub use estimate::Estimate;
pub use ledger::{Denial, Ledger};
pub use limiter::Limiter;
pub use meter::{BudgetKey, Meter, Subject, Unit, Window};
pub use permit::{Account, Charge, Permit};
pub use standing::RateHeaders;
