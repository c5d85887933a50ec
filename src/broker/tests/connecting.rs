use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const CANARY: &str = "canary-5f3a";

#[tokio::test(flavor = "multi_thread")]
async fn declaring_twice_changes_nothing() {
    let place = Place::new().await;
    place.publish("a", 0..3).await;
    declare(&place.options).await.unwrap();
    place.until_ready("a", 3).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_named_with_both_sides_and_mended_settings_are_taken_up() {
    let place = Place::empty().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(20));
    place.queue("b", arguments).await;
    let refused = declare(&place.options).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("queue `{}`", place.name("b"))), "{refused}");
    assert!(refused.contains("is") && refused.contains("x-d"), "{refused}");

    let mut consumers = place.consumers(&["a", "b"]);
    let mended = async {
        until(async || place.health.view().last_error.is_some_and(|error| error.contains("other settings"))).await;
        place.delete_queue("b").await;
        until(async || place.health.view().consuming).await;
        place.publish("b", 0..1).await;
    };
    let (taken, ()) = futures::future::join(take(&mut consumers, 1), mended).await;
    assert_eq!(&*taken[0].queue, place.name("b"));
    assert_eq!(place.health.view().last_error, None);
    consumers.stop().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_another_type_is_named() {
    let place = Place::empty().await;
    let name = place.options.billing_exchange.as_str();
    let options = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = lapin::ExchangeKind::Direct;
    place.admin.exchange_declare(name.into(), kind, options, FieldTable::default()).await.unwrap();
    let refused = declare(&place.options).await.unwrap_err();
    let words =
        format!("exchange `{name}` exists with other settings: `type` is 'direct' on the broker, ours is 'topic'");
    assert_eq!(refused.to_string(), words);
    place.delete_exchange(name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_told_without_the_password() {
    let mut uri = options("x", broker_url()).uri().unwrap();
    uri.authority.userinfo.password = CANARY.to_owned();
    let options = options("x", uri.to_string());
    let refused = declare(&options).await.unwrap_err();
    assert!(matches!(refused, BrokerError::Refused { .. }), "{refused:?}");
    for shown in [refused.to_string(), format!("{refused:?}"), format!("{options:?}")] {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_virtual_host_is_a_refusal() {
    let mut uri = options("x", broker_url()).uri().unwrap();
    uri.vhost = "nowhere".to_owned();
    let health = Arc::default();
    let refused = Publisher::connect(&options("x", uri.to_string()), &health).await.err().unwrap();
    assert!(matches!(refused, BrokerError::Refused { .. }), "{refused:?}");
    assert!(health.view().last_error.unwrap().contains("nowhere"), "{refused}");
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
    for url in [
        "http://u:canary-5f3a@h",
        "canary-5f3a",
        "foo:canary-5f3a",
        "amqp://u:canary-5f3a@h/%2f?heartbeat=x",
        "amqp://u:canary-5f3a@[::1]:5672/%2f",
    ] {
        let refused = options("x", url.to_owned()).check().unwrap_err();
        assert!(matches!(refused, BrokerError::Config(_)), "{url}");
        assert!(!format!("{refused} {refused:?}").contains(CANARY), "{refused}");
    }
    let good = options("x", "amqp://u:canary-5f3a@h/%2f".to_owned());
    assert_eq!(good.check(), Ok(()));
    assert_eq!(good.uri().unwrap().query.heartbeat, Some(10));
    let off = options("x", "amqp://u:canary-5f3a@h/%2f?heartbeat=0".to_owned());
    assert_eq!(off.uri().unwrap().query.heartbeat, Some(10), "0 would be the server's minute");
    let bad = Options { prefetch: 0, ..good.clone() };
    assert!(bad.check().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_says_nothing_is_given_up_and_its_socket_closed() {
    let (options, listener) = listening("amqp").await;
    let silent = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        timeout(LIMIT, peer.read_to_end(&mut said)).await.expect("the socket is never closed").unwrap();
        said
    };
    let (connected, said) = futures::future::join(declare(&options), silent).await;
    assert!(matches!(connected, Err(BrokerError::Unavailable { .. })), "{connected:?}");
    assert_eq!(said, b"AMQP\0\0\x09\x01");
}

#[tokio::test(flavor = "multi_thread")]
async fn amqps_never_falls_back_to_plain_text() {
    let (options, listener) = listening("amqps").await;
    let plain = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut said = vec![0; 1];
        peer.read_exact(&mut said).await.unwrap();
        peer.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        // A reset instead of an end is fine too: what counts is what was said before.
        let _ = timeout(LIMIT, peer.read_to_end(&mut said)).await.expect("the socket is never closed");
        said
    };
    let (connected, said) = futures::future::join(declare(&options), plain).await;
    assert!(matches!(connected, Err(BrokerError::Unavailable { .. })), "{connected:?}");
    assert_eq!(said[0], 0x16, "a TLS handshake and nothing else");
    assert!(!said.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
}

/// Options that lead to a listener, which is no broker.
async fn listening(scheme: &str) -> (Options, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = options("x", format!("{scheme}://u:{CANARY}@localhost:{port}/%2f"));
    (Options { connect_timeout: Duration::from_secs(1), ..options }, listener)
}
