//! One Lease, several candidates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use claw_operator::{
    health::Health,
    leader::{Elector, Timing},
    metrics::Metrics,
};
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{fake_api::FakeApi, harness::until};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/claw";
const DEADLINE: Duration = Duration::from_secs(20);
const QUICK: Timing = Timing {
    lease: Duration::from_secs(1),
    renew: Duration::from_millis(600),
    retry: Duration::from_millis(50),
};
/// Longer than any test: only a release lets another one in.
const PATIENT: Timing = Timing {
    lease: Duration::from_hours(1),
    renew: Duration::from_secs(20),
    retry: Duration::from_millis(50),
};

/// How many lead, now and at most ever.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Leads from its making to its end.
struct Leading {
    crowd: Arc<Crowd>,
    leads: watch::Sender<bool>,
}

impl Leading {
    fn new(crowd: Arc<Crowd>, leads: watch::Sender<bool>) -> Self {
        let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
        crowd.most.fetch_max(now, Ordering::SeqCst);
        leads.send_replace(true);
        Self { crowd, leads }
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.crowd.now.fetch_sub(1, Ordering::SeqCst);
        self.leads.send_replace(false);
    }
}

struct Candidate {
    shutdown: CancellationToken,
    leads: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Candidate {
    fn start(api: &FakeApi, identity: &str, timing: Timing, crowd: &Arc<Crowd>) -> Self {
        let api = api.clone();
        let service = tower::service_fn(move |request| api.clone().serve(request));
        let elector = Elector::new(
            Client::new(service, "shop"),
            ("shop", "claw"),
            identity,
            Health::default(),
            Metrics::new(),
        )
        .with_timing(timing);
        let shutdown = CancellationToken::new();
        let (sender, leads) = watch::channel(false);
        let (stop, crowd) = (shutdown.clone(), Arc::clone(crowd));
        let work = {
            let stop = stop.clone();
            move || {
                let leading = Leading::new(Arc::clone(&crowd), sender.clone());
                let stop = stop.clone();
                async move {
                    stop.cancelled().await;
                    drop(leading);
                }
            }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { elector.run(work, &stop).await });
        Self {
            shutdown,
            leads,
            tasks,
        }
    }

    async fn until_leads(&mut self, wanted: bool) {
        let seen = timeout(DEADLINE, self.leads.wait_for(|leads| *leads == wanted)).await;
        seen.expect("in time").expect("the candidate lives");
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = timeout(DEADLINE, self.tasks.join_next()).await;
        ended
            .expect("in time")
            .expect("was running")
            .expect("no panic");
    }
}

fn holder(lease: &Value) -> &Value {
    &lease["spec"]["holderIdentity"]
}

#[tokio::test]
async fn one_of_two_leads_and_hands_over_when_it_stops() {
    let api = FakeApi::new();
    let crowd = Arc::default();
    let mut one = Candidate::start(&api, "one", PATIENT, &crowd);
    one.until_leads(true).await;
    let mut two = Candidate::start(&api, "two", PATIENT, &crowd);
    let before = api.get(LEASE).expect("a lease")["spec"]["renewTime"].clone();
    until(&api, LEASE, "renewed", |lease| {
        lease["spec"]["renewTime"] != before
    })
    .await;
    assert_eq!(holder(&api.get(LEASE).expect("a lease")), "one");

    one.stop().await;
    two.until_leads(true).await;
    assert_eq!(holder(&api.get(LEASE).expect("a lease")), "two");
    two.stop().await;
    assert_eq!(holder(&api.get(LEASE).expect("a lease")), "");
    assert_eq!(crowd.most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_and_leads_again_later() {
    let api = FakeApi::new();
    let crowd = Arc::default();
    let mut one = Candidate::start(&api, "one", QUICK, &crowd);
    one.until_leads(true).await;
    api.fail("/leases/", 500);
    one.until_leads(false).await;
    api.heal();
    one.until_leads(true).await;
    one.stop().await;
}

#[tokio::test]
async fn a_silent_leader_is_replaced() {
    let api = FakeApi::new();
    api.put(
        LEASE,
        serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "claw", "namespace": "shop"},
            "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 1, "leaseTransitions": 4},
        }),
    );
    let crowd = Arc::default();
    let mut one = Candidate::start(&api, "one", QUICK, &crowd);
    one.until_leads(true).await;
    assert_eq!(
        api.get(LEASE).expect("a lease")["spec"]["leaseTransitions"],
        5
    );
    one.stop().await;
}

#[tokio::test]
async fn a_leader_that_is_pushed_aside_stops_at_once() {
    let api = FakeApi::new();
    let crowd = Arc::default();
    let mut one = Candidate::start(&api, "one", PATIENT, &crowd);
    one.until_leads(true).await;
    api.edit(LEASE, |lease| {
        lease["spec"]["holderIdentity"] = "two".into();
    });
    one.until_leads(false).await;
    one.stop().await;
    assert_eq!(holder(&api.get(LEASE).expect("a lease")), "two");
}

#[tokio::test]
async fn a_leader_whose_work_breaks_gives_the_lead_back() {
    let api = FakeApi::new();
    let service = {
        let api = api.clone();
        tower::service_fn(move |request| api.clone().serve(request))
    };
    let metrics = Metrics::new();
    let elector = Elector::new(
        Client::new(service, "shop"),
        ("shop", "claw"),
        "one",
        Health::default(),
        metrics.clone(),
    )
    .with_timing(PATIENT);
    let expiry = "claw_operator_certificate_expiry_timestamp_seconds{";
    let (starts, shutdown) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let work = {
        let (starts, metrics, stop) = (Arc::clone(&starts), metrics.clone(), shutdown.clone());
        move || {
            let start = starts.fetch_add(1, Ordering::SeqCst);
            let (metrics, stop) = (metrics.clone(), stop.clone());
            async move {
                metrics.set_certificate_expiry("shop", "desk", Some(Timestamp::UNIX_EPOCH));
                assert_ne!(start, 0, "the first try breaks");
                stop.cancelled().await;
            }
        }
    };
    let stop = shutdown.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { elector.run(work, &stop).await });
    // Given back, and taken again by the only candidate.
    until(&api, LEASE, "held again", |lease| {
        lease["spec"]["leaseTransitions"] == 1 && holder(lease) == "one"
    })
    .await;
    shutdown.cancel();
    let ended = timeout(DEADLINE, tasks.join_next()).await;
    ended.expect("in time").expect("ran").expect("no panic");
    assert!(!metrics.encode().contains(expiry), "{}", metrics.encode());
}
