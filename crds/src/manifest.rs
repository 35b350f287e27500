//! Custom resources from files.
