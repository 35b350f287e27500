//! The real program on free ports, before a scripted API.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "tests end by panicking, and say why they are skipped"
)]

mod audit;
mod audit_sinks;
mod auth;
mod bad_input;
mod binary;
mod failover;
mod failure_points;
mod hostile_clients;
mod http_versions;
mod identities;
mod idle_connections;
mod local_model;
mod logs;
mod metrics;
mod model_pool;
mod passed_on;
mod providers;
mod random_bodies;
mod redaction;
mod reload;
mod route_tasks;
mod routing;
mod serving;
mod shutdown;
mod tls;
mod traces;
mod upstream;
mod usage;
