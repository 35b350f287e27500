//! A node that is on: namespaces, mounts, and the components in them. Booted anew after a reboot.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;

use super::{
    Component, DEADLINE, Error, NODE_NAME, command,
    control_groups::ControlGroups,
    image,
    namespaces::{Namespaces, NetworkHandle},
    network,
    plan::Plan,
    processors, settings,
};
use crate::{
    control_plane::{self, answers, client_from},
    process::ChildProcess,
    wait::until,
};

const LOG_LINES: usize = 15;
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// A running machine. Dropping it pulls the plug.
#[derive(Debug)]
pub(super) struct Machine {
    // The namespaces first: what runs in all of them ends at once, as in a power cut.
    namespaces: Namespaces,
    // Those of dead containers would keep the kubelet busy for minutes after a reboot.
    _control_groups: ControlGroups,
    components: BTreeMap<Component, ChildProcess>,
    network: NetworkHandle,
}

impl Machine {
    /// Start everything, and wait until the node is ready for pods.
    pub(super) async fn boot(plan: &Plan, network: &NetworkHandle) -> Result<Self, Error> {
        let control_groups = ControlGroups::create()?;
        let namespaces = Namespaces::create(&plan.etc).await?;
        mount(&namespaces, plan)?;
        processors::pretend(&namespaces, &plan.etc.join("processors"))?;
        network::set_up(&namespaces)?;
        network.set(Some(namespaces.network()));
        let mut machine = Self {
            namespaces,
            _control_groups: control_groups,
            components: BTreeMap::new(),
            network: network.clone(),
        };
        let booted = k8s_openapi::jiff::Timestamp::now();
        for component in Component::ALL {
            machine.start(component, plan).await?;
            if component == Component::Containerd {
                machine.load_pause().await?;
            }
        }
        machine.wait_for_node(plan, booted).await?;
        Ok(machine)
    }

    pub(super) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    pub(super) fn kill(&mut self, component: Component) -> Result<(), Error> {
        match self.components.remove(&component) {
            Some(mut child) => child.kill().map_err(Error::Start),
            None => Ok(()),
        }
    }

    /// Start a component and wait until it answers.
    pub(super) async fn start(&mut self, component: Component, plan: &Plan) -> Result<(), Error> {
        // The control plane needs this machine's files and the node's network; the others belong inside wholly.
        let wrapper = match component {
            Component::Etcd
            | Component::ApiServer
            | Component::ControllerManager
            | Component::Scheduler => self.namespaces.network_wrapper(),
            Component::Containerd | Component::Kubelet | Component::Proxy => {
                self.namespaces.wrapper()
            }
        };
        let program = plan.program(component).through(&wrapper);
        let audited = plan.audit.end();
        let child = program.start(&plan.etc).map_err(Error::Start)?;
        self.components.insert(component, child);
        let ready = until(DEADLINE, async || {
            let child = self.components.get_mut(&component)?;
            if let Some(status) = child.ended() {
                return Some(Err(format!("{component:?} goes on running ({status})")));
            }
            self.is_ready(component, plan).await.then_some(Ok(()))
        });
        let ready = ready.await;
        ready
            .unwrap_or_else(|| Err(format!("{component:?} answers")))
            .map_err(|what| self.not_ready(what))?;
        if component == Component::ApiServer {
            plan.audit.started_at(audited);
        }
        Ok(())
    }

    async fn is_ready(&self, component: Component, plan: &Plan) -> bool {
        match component {
            Component::Etcd => self.listens(2379),
            Component::ApiServer => match client_from(&plan.kubeconfig).await {
                Ok(client) => answers(&client, "/readyz").await,
                Err(_) => false,
            },
            Component::ControllerManager => self.listens(10257),
            Component::Scheduler => self.listens(10259),
            Component::Containerd => {
                let mut command = self.namespaces.command();
                command::run(command.args(["ctr", "version"])).is_ok()
            }
            Component::Kubelet => self.listens(10248),
            Component::Proxy => self.listens(10256),
        }
    }

    fn listens(&self, port: u16) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = move || TcpStream::connect_timeout(&address, CONNECT_DEADLINE);
        self.network.enter(connect).is_ok()
    }

    /// The image that holds each pod's namespaces, so that no registry is needed.
    async fn load_pause(&self) -> Result<(), Error> {
        let archive = image::pause()?;
        let wrapper = self.namespaces.wrapper();
        let mut import = tokio::process::Command::new(&wrapper[0]);
        import
            .args(&wrapper[1..])
            .args(["ctr", "--namespace", "k8s.io", "images", "import"])
            .arg(archive);
        command::output(import)
            .await
            .map(drop)
            .map_err(Error::Command)
    }

    /// Ready, as the kubelet that was started just now says: what an earlier one said is still stored.
    async fn wait_for_node(
        &self,
        plan: &Plan,
        booted: k8s_openapi::jiff::Timestamp,
    ) -> Result<(), Error> {
        let client = client_from(&plan.kubeconfig)
            .await
            .map_err(control_plane::Error::Kubeconfig)
            .map_err(Error::ControlPlane)?;
        let nodes = Api::<NodeObject>::all(client);
        let ready = until(DEADLINE, async || {
            let node = nodes.get_opt(NODE_NAME).await.ok()??;
            let conditions = node.status?.conditions?;
            let ready = conditions
                .into_iter()
                .find(|condition| condition.type_ == "Ready")?;
            // The API server keeps whole seconds.
            let is_of_now = ready.last_heartbeat_time?.0.as_second() >= booted.as_second();
            (ready.status == "True" && is_of_now).then_some(())
        });
        let ready = ready.await;
        ready.ok_or_else(|| self.not_ready("the node is Ready".to_owned()))
    }

    pub(super) fn log_tails(&self, lines: usize) -> String {
        let tails: Vec<String> = self
            .components
            .values()
            .map(|child| child.log_tail(lines))
            .collect();
        tails.join("\n")
    }

    fn not_ready(&self, what: String) -> Error {
        let log = self.log_tails(LOG_LINES);
        Error::NotReady { what, log }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.network.set(None);
    }
}

/// The places that the components write to by default become the node's own. /run is empty after each boot.
fn mount(namespaces: &Namespaces, plan: &Plan) -> Result<(), Error> {
    let bind = |ours: &Path, theirs: &str| {
        let mut mount = namespaces.command();
        mount.args(["mount", "--bind"]).arg(ours).arg(theirs);
        command::run(&mut mount).map(drop).map_err(Error::Command)
    };
    bind(&plan.var_lib, "/var/lib")?;
    bind(&plan.var_log, "/var/log")?;
    let mut mount = namespaces.command();
    mount.args(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
    command::run(&mut mount).map_err(Error::Command)?;
    let socket = Path::new(settings::CONTAINERD_SOCKET);
    let mut directory = namespaces.command();
    directory.args(["mkdir", "-p"]).args(socket.parent());
    command::run(&mut directory)
        .map(drop)
        .map_err(Error::Command)
}
