//! The binary itself: exit codes, errors, signals.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rstest::rstest;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// A cluster that refuses every connection: enough to start with.
fn kubeconfig(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("kubeconfig");
    let text = "{apiVersion: v1, kind: Config, current-context: x, users: [{name: u, user: {}}],\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}],\n\
        contexts: [{name: x, context: {cluster: c, user: u, namespace: shop}}]}\n";
    std::fs::write(&path, text).expect("writes");
    path
}

fn operator(folder: &TempDir, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claw-operator"));
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig(folder.path()))
        .args([
            "--gateway-image",
            "bot:7",
            "--gateway-cuda-image",
            "bot:7-gpu",
        ])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[rstest]
#[case::unknown(&["--frobnicate"], "--frobnicate")]
#[case::address(&["--management-address", "here"], "--management-address")]
#[case::format(&["--log-format", "xml"], "--log-format")]
#[case::level(&["--log-level", "claw_operator=loud"], "--log-level")]
fn a_bad_argument_is_named_and_exits_with_64(#[case] bad: &[&str], #[case] named: &str) {
    let folder = TempDir::new().expect("a folder");
    let output = operator(&folder, bad).output().expect("runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains(named), "{}", complaint(&output));
}

#[test]
fn a_missing_image_is_named_and_exits_with_64() {
    let output = Command::new(env!("CARGO_BIN_EXE_claw-operator"))
        .env_clear()
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains("--gateway-image"));
}

#[test]
fn help_and_version_exit_with_0() {
    for flag in ["--help", "--version"] {
        let folder = TempDir::new().expect("a folder");
        let output = operator(&folder, &[flag]).output().expect("runs");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_port_in_use_is_named() {
    let folder = TempDir::new().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = operator(&folder, &["--management-address", &address])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let complaint = complaint(&output);
    assert!(
        complaint.contains(&format!("--management-address {address}")),
        "{complaint}"
    );
}

#[test]
fn without_a_cluster_it_says_where_one_comes_from() {
    let folder = TempDir::new().expect("a folder");
    let output = operator(&folder, &["--management-address", "127.0.0.1:0"])
        .env("KUBECONFIG", folder.path().join("none"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint(&output).contains("KUBECONFIG"),
        "{}",
        complaint(&output)
    );
}

#[test]
fn it_waits_for_the_cluster_and_stops_when_told_to() {
    let folder = TempDir::new().expect("a folder");
    let port_file = folder.path().join("port");
    let mut running = operator(&folder, &["--management-address", "127.0.0.1:0"])
        .args([Path::new("--port-file"), &port_file])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    until("the port is written", || port_file.exists());
    let port: u16 = std::fs::read_to_string(&port_file)
        .expect("readable")
        .parse()
        .expect("a port");
    assert_eq!(status_of(port, "/livez"), 200);
    assert_eq!(status_of(port, "/readyz"), 503);
    assert_eq!(status_of(port, "/metrics"), 200);

    let told = Command::new("kill").arg(running.id().to_string()).status();
    assert!(told.expect("kill runs").success());
    until("it stops", || has_ended(&mut running));
    assert_eq!(running.wait().expect("ended").code(), Some(0));
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().expect("can be asked").is_some()
}

fn status_of(port: u16, path: &str) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connects");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    let status = answer.split_whitespace().nth(1).expect("a status");
    status.parse().expect("a number")
}

/// Poll until `condition`, giving the processor away in between.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
