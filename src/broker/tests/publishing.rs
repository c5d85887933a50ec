use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_message_gets_its_own_verdict() {
    let place = Place::new().await;
    place.output_queue("free").await;
    place.full_queue("full").await;
    let mut publisher = Publisher::connect(&place.options, &place.health).await.unwrap();
    let keys = ["free", "nowhere", "free", "full", "nowhere"];
    let mut pending = Vec::new();
    for id in 0..500 {
        let key = keys[id % keys.len()];
        pending.push((key, publisher.publish(message(key, &id.to_string())).await.unwrap()));
    }
    for (key, mut one) in pending {
        let confirm = timeout(LIMIT, one.confirmed()).await.unwrap();
        match key {
            "free" => assert_eq!(confirm, Confirm::Acked),
            "full" => assert_eq!(confirm, Confirm::Nacked),
            _ => assert_eq!(confirm, Confirm::Returned { reason: "NO_ROUTE".to_owned() }),
        }
    }
    publisher.close().await;
    place.until_ready("out-free", 200).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_the_order_of_the_calls() {
    let place = Place::new().await;
    place.publish("a", 0..300).await;
    let mut consumers = place.consumers(&["a"]);
    let mut next = 0;
    while next < 300 {
        let taken = take(&mut consumers, 1).await;
        for one in &taken {
            assert_eq!(id(one), next.to_string());
            next += 1;
        }
        consumers.settle(&acked(&taken)).await;
    }
    consumers.stop().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exchange_is_unknown_in_words_until_the_publisher_declares_it_again() {
    let place = Place::new().await;
    place.output_queue("free").await;
    let mut publisher = Publisher::connect(&place.options, &place.health).await.unwrap();
    place.delete_exchange(&place.options.credits_exchange).await;
    let mut lost = publisher.publish(message("free", "1")).await.unwrap();
    match timeout(LIMIT, lost.confirmed()).await.unwrap() {
        Confirm::Unknown { reason } => {
            assert!(reason.contains("NOT_FOUND") && reason.contains(&place.options.credits_exchange), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(publisher.publish(message("free", "1")).await.unwrap_err(), PublishError::Closed);
    drop(publisher);

    let mut publisher = Publisher::connect(&place.options, &place.health).await.unwrap();
    let mut unbound = publisher.publish(message("free", "1")).await.unwrap();
    assert!(matches!(timeout(LIMIT, unbound.confirmed()).await.unwrap(), Confirm::Returned { .. }));
    place.bind("out-free", "free").await;
    let mut again = publisher.publish(message("free", "1")).await.unwrap();
    assert_eq!(timeout(LIMIT, again.confirmed()).await.unwrap(), Confirm::Acked);
    assert!(place.health.view().publishing);
    publisher.close().await;
    until(async || !place.health.view().publishing).await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_publisher_leaves_its_confirms_unknown() {
    let place = Place::new().await;
    place.output_queue("free").await;
    let mut publisher = Publisher::connect(&place.options, &place.health).await.unwrap();
    let mut pending = Vec::new();
    for id in 0..10 {
        pending.push(publisher.publish(message("free", &id.to_string())).await.unwrap());
    }
    drop(publisher);
    for mut one in pending {
        let confirm = timeout(LIMIT, one.confirmed()).await.expect("a verdict, whatever it is");
        assert!(matches!(confirm, Confirm::Acked | Confirm::Unknown { .. }), "{confirm:?}");
    }
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_amqp_cannot_carry_is_refused_before_anything_is_sent() {
    let place = Place::new().await;
    let messages = vec![message("a", "1"), message("a", &"x".repeat(256))];
    let refused = publish_all(&place.options, &place.options.billing_exchange, messages).await;
    assert!(matches!(refused, Err(BrokerError::Config(_))));
    assert_eq!(place.ready("a").await, 0);
    place.remove().await;
}
