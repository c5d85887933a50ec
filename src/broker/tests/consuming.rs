use lapin::options::{BasicGetOptions, BasicRejectOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_what_is_there_up_to_its_limits() {
    let place = Place::new().await;
    place.publish("a", 0..10).await;
    let mut consumers = place.consumers(&["a"]);
    assert_eq!(next(&mut consumers, 1).await.len(), 1);
    place.until_ready("a", 0).await;
    let in_bytes = timeout(LIMIT, consumers.next_batch(100, 250)).await.unwrap().unwrap();
    assert!(in_bytes.len() <= 2, "bodies of 100 bytes: the third is beyond the limit");
    let oversized = timeout(LIMIT, consumers.next_batch(100, 10)).await.unwrap().unwrap();
    assert_eq!(oversized.len(), 1, "a body larger than the limit comes alone");
    let mut rest = take(&mut consumers, 10 - 1 - in_bytes.len() - 1).await;
    rest.extend(oversized);
    rest.extend(in_bytes);
    let mut ids: Vec<usize> = rest.iter().map(|one| id(one).parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..10).collect::<Vec<_>>(), "each came once");
    consumers.stop().await;
    assert_eq!(consumers.next_batch(1, 1).await, None);
    place.until_ready("a", 10).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_does_not_starve_another() {
    let place = Place::new().await;
    place.publish("a", 0..90).await;
    place.publish("b", 0..3).await;
    let mut consumers = place.consumers(&["a", "b"]);
    let mut soon = next(&mut consumers, 1).await;
    place.until_ready("a", 0).await;
    place.until_ready("b", 0).await;
    soon.extend(take(&mut consumers, 30).await);
    assert_eq!(soon.iter().filter(|one| *one.queue == *place.name("b")).count(), 3);
    consumers.stop().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_settled_comes_again_and_says_so() {
    let place = Place::new().await;
    place.publish("a", 0..6).await;
    let mut consumers = place.consumers(&["a"]);
    let taken = take(&mut consumers, 6).await;
    assert!(taken.iter().all(|one| one.delivered_before == 0));
    let done: Vec<_> = taken.iter().filter(|one| !["1", "4"].contains(&id(one))).cloned().collect();
    consumers.settle(&acked(&done)).await;
    consumers.settle(&acked(&done)).await;
    consumers.settle(&[taken[1].settled(How::Requeue)]).await;
    let again = take(&mut consumers, 1).await;
    assert_eq!(id(&again[0]), "1");
    consumers.stop().await;
    place.until_ready("a", 2).await;
    let mut later = place.consumers(&["a"]);
    let rest = take(&mut later, 2).await;
    assert!(rest.iter().all(|one| one.delivered_before > 0 && ["1", "4"].contains(&id(one))), "{rest:?}");
    later.settle(&acked(&rest)).await;
    later.stop().await;
    assert_eq!(place.ready("a").await, 0);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_behind_a_hole_waits_until_the_hole_is_filled() {
    let place = Place::new().await;
    place.publish("a", 0..3).await;
    let mut consumers = place.consumers(&["a"]);
    let taken = take(&mut consumers, 3).await;
    consumers.settle(&acked(&taken[1..])).await;
    assert!(consumers.waiting_since().is_some());
    consumers.settle(&acked(&taken[..1])).await;
    assert_eq!(consumers.waiting_since(), None);
    consumers.stop().await;
    assert_eq!(place.ready("a").await, 0);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_behind_a_hole_that_stays_is_sent_by_itself() {
    let place = Place::new().await;
    place.publish("a", 0..3).await;
    let mut consumers = place.consumers(&["a"]);
    let taken = take(&mut consumers, 3).await;
    consumers.settle(&acked(&taken[1..])).await;
    consumers.wait_no_longer(LIMIT).await;
    assert!(consumers.waiting_since().is_some(), "it has not waited so long");
    consumers.wait_no_longer(Duration::ZERO).await;
    assert_eq!(consumers.waiting_since(), None);
    drop(consumers);
    place.until_ready("a", 1).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_declared_again_under_a_new_generation() {
    let place = Place::new().await;
    place.publish("a", 0..1).await;
    let mut consumers = place.consumers(&["a", "b"]);
    let old = take(&mut consumers, 1).await;
    place.delete_queue("a").await;
    let new = {
        let mut waiting = Box::pin(take(&mut consumers, 1));
        let published = async {
            until(async || {
                let sent =
                    publish_all(&place.options, &place.options.billing_exchange, vec![message("a", "new")]).await;
                sent.unwrap() == [Confirm::Acked]
            })
            .await;
        };
        futures::future::join(&mut waiting, published).await.0
    };
    assert_eq!(id(&new[0]), "new");
    assert!(new[0].channel.generation > old[0].channel.generation);
    assert_eq!((new[0].tag, old[0].tag), (1, 1), "the same tag, which only the generation tells apart");

    consumers.settle(&acked(&old)).await;
    assert_eq!(place.health.view().stale_settlements, 1);
    consumers.stop().await;
    place.until_ready("a", 1).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_replaced_and_its_messages_come_again() {
    let place = Place::new().await;
    let proxy = Proxy::start(&place.options).await;
    let options = Arc::new(Options { url: proxy.url.clone().into(), ..(*place.options).clone() });
    let mut consumers = place.consumers_with(&options, &["a"]);
    place.publish("a", 0..3).await;
    let before = take(&mut consumers, 3).await;
    assert!(place.health.view().consuming);
    proxy.cut().await;
    until(async || !place.health.view().consuming).await;
    consumers.settle(&acked(&before)).await;
    let after = take(&mut consumers, 3).await;
    assert!(after.iter().all(|one| one.channel.generation > 1 && one.delivered_before == 1), "{after:?}");
    let health = place.health.view();
    assert!(health.consuming && health.last_error.is_none() && health.sessions == 2, "{health:?}");
    consumers.settle(&acked(&after)).await;
    consumers.stop().await;
    assert_eq!(place.ready("a").await, 0);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_names_the_queue_it_was_in_first() {
    let place = Place::new().await;
    place.publish("b", 0..1).await;
    let name = place.name("b");
    until(async || {
        let got = place.admin.basic_get(name.as_str().into(), BasicGetOptions { no_ack: false }).await.unwrap();
        match got {
            Some(got) => got.delivery.acker.reject(BasicRejectOptions { requeue: false }).await.unwrap(),
            None => false,
        }
    })
    .await;
    let mut consumers = place.consumers(&["dead-letters"]);
    let dead = take(&mut consumers, 1).await;
    assert_eq!((&*dead[0].queue, id(&dead[0])), (name.as_str(), "0"));
    consumers.settle(&acked(&dead)).await;
    consumers.stop().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_and_again_loses_nothing() {
    let place = Place::new().await;
    place.publish("a", 0..20).await;
    let mut consumers = place.consumers(&["a"]);
    let mut taken = Vec::new();
    let all = async {
        while taken.len() < 20 {
            tokio::select! {
                biased;
                batch = consumers.next_batch(3, EIGHT_MIB) => taken.extend(batch.unwrap()),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    timeout(LIMIT, all).await.unwrap();
    let mut tags: Vec<u64> = taken.iter().map(|one| one.tag).collect();
    tags.dedup();
    assert_eq!(tags.len(), 20);
    consumers.stop().await;
    place.remove().await;
}

/// A way to the broker that can be cut.
struct Proxy {
    url: String,
    cut: tokio::sync::watch::Sender<u64>,
    _accepting: JoinHandle<()>,
}

impl Proxy {
    async fn start(options: &Options) -> Self {
        let uri = options.uri().unwrap();
        let broker = (uri.authority.host.clone(), uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut through = uri;
        through.authority.host = "127.0.0.1".to_owned();
        through.authority.port = listener.local_addr().unwrap().port();
        let (cut, cuts) = tokio::sync::watch::channel(0);
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (broker, mut cuts) = (broker.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(broker).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { url: through.to_string(), cut, _accepting: accepting }
    }

    /// Ends all connections through it; new ones pass.
    async fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
        tokio::task::yield_now().await;
    }
}
