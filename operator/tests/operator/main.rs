//! The operator against a fake API server: whole flows, from what users write to what is stored.

mod election;
mod fake_api;
mod gateways;
mod harness;
mod metrics;
mod routes_and_channels;
mod traces;
