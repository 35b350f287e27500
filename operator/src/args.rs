//! The command line of the operator.

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Parser, ValueEnum};

/// Reconciles ClawGateway, ModelRoute and Channel. The cluster is that of KUBECONFIG, or the one it runs in.
#[derive(Clone, Debug, Parser)]
#[command(name = "claw-operator", version)]
pub struct Args {
    /// Work in this namespace only, with nothing but roles in it. All namespaces when absent.
    #[arg(long, env = "CLAW_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Image of the gateways.
    #[arg(long, env = "CLAW_GATEWAY_IMAGE", value_name = "IMAGE")]
    pub gateway_image: String,

    /// Image of the gateways with NVIDIA GPUs; it holds the CUDA libraries.
    #[arg(long, env = "CLAW_GATEWAY_CUDA_IMAGE", value_name = "IMAGE")]
    pub gateway_cuda_image: String,

    /// Name of a Secret with credentials for the registry of the gateways' images; it must lie in each gateway's own
    /// namespace. May be given several times.
    #[arg(
        long = "gateway-image-pull-secret",
        env = "CLAW_GATEWAY_IMAGE_PULL_SECRETS",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub gateway_image_pull_secrets: Vec<String>,

    /// Where the pages of docs/runbooks are published, for the alerts of gateways to link to.
    #[arg(
        long,
        env = "CLAW_RUNBOOK_BASE",
        default_value = crate::monitoring::RUNBOOK_BASE,
        value_name = "URL"
    )]
    pub runbook_base: String,

    /// Reconcile only while holding the Lease, so that several replicas can run.
    #[arg(
        long,
        env = "CLAW_LEADER_ELECTION",
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub leader_election: bool,

    /// Namespace of the Lease; that of the operator's own pod when absent.
    #[arg(long, env = "CLAW_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name of the Lease.
    #[arg(
        long,
        env = "CLAW_LEASE_NAME",
        default_value = "claw-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(
        long,
        env = "CLAW_MANAGEMENT_ADDRESS",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub management_address: SocketAddr,

    /// Form of the log lines.
    #[arg(long, env = "CLAW_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as claw_operator=debug,info.
    #[arg(
        long,
        env = "CLAW_LOG_LEVEL",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log_level: String,

    /// Write the port of the management address to this file once it is bound; for port 0.
    #[arg(long, env = "CLAW_PORT_FILE", value_name = "FILE")]
    pub port_file: Option<PathBuf>,
}

/// Forms of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use rstest::rstest;

    use super::*;

    const IMAGES: [&str; 5] = [
        "claw-operator",
        "--gateway-image",
        "clawdbot:1",
        "--gateway-cuda-image",
        "clawdbot:1-cuda",
    ];

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_argument_is_explained_and_has_a_variable() {
        for argument in Args::command().get_arguments() {
            let name = argument.get_id().as_str();
            if !["help", "version"].contains(&name) {
                assert!(argument.get_help().is_some(), "{name} has no help");
                assert!(argument.get_env().is_some(), "{name} has no variable");
            }
        }
    }

    #[rstest]
    #[case(&[], true)]
    #[case(&["--leader-election"], true)]
    #[case(&["--leader-election", "false"], false)]
    #[case(&["--leader-election=true"], true)]
    fn leader_election_is_on_unless_refused(#[case] more: &[&str], #[case] expected: bool) {
        let args = Args::try_parse_from(IMAGES.iter().chain(more)).expect("parses");
        assert_eq!(args.leader_election, expected);
    }

    #[test]
    fn a_bad_address_is_refused_by_name() {
        let bad = ["--management-address", "nowhere"];
        let error = Args::try_parse_from(IMAGES.iter().chain(&bad)).expect_err("refused");
        assert!(
            error.to_string().contains("--management-address"),
            "{error}"
        );
    }
}
