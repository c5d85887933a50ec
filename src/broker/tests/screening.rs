//! Messages that the driver cannot write, so they are published byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::broker::screen::UNREADABLE;

#[tokio::test(flavor = "multi_thread")]
async fn properties_that_the_driver_cannot_read_arrive_as_bytes() {
    let place = Place::new().await;
    let mut consumers = place.consumers(&["a"]);
    let bad_text = [0x00, 0x80, 3, b'i', 0xff, b'd'].to_vec();
    place.publish_raw(&bad_text).await;
    place.publish_raw(&nested(10_000)).await;
    place.publish("a", 1..2).await;
    let taken = take(&mut consumers, 3).await;
    assert_eq!(taken[0].properties.headers[UNREADABLE], HeaderValue::Bytes(bad_text));
    assert!(taken[1].properties.headers.contains_key(UNREADABLE));
    assert_eq!(id(&taken[2]), "1");
    assert!(taken.iter().all(|one| one.channel.generation == 1), "no session was lost");
    consumers.settle(&acked(&taken)).await;
    consumers.stop().await;
    assert_eq!(place.ready("a").await, 0);
    place.remove().await;
}

/// A header table that nests lists.
fn nested(depth: usize) -> Vec<u8> {
    let value = (0..depth).fold(b"V".to_vec(), |inner, _| [b"A", &long(&inner)[..]].concat());
    [&[0x20, 0x00][..], &long(&[b"\x01k", &value[..]].concat())].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

impl Place {
    /// Publishes an empty message with these property bytes to queue `a`.
    async fn publish_raw(&self, properties: &[u8]) {
        let uri = self.options.uri().unwrap();
        let mut raw = Raw(TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await.unwrap());
        raw.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        let login = format!("\0{}\0{}", uri.authority.userinfo.username, uri.authority.userinfo.password);
        raw.answer(None).await;
        let start_ok = [long(b""), short("PLAIN"), long(login.as_bytes()), short("en_US")].concat();
        raw.answer(Some((0, [10, 11], &start_ok))).await;
        raw.method(0, [10, 31], &[0x07, 0xff, 0, 2, 0, 0, 0, 0]).await;
        raw.answer(Some((0, [10, 40], &[short(&uri.vhost), vec![0, 0]].concat()))).await;
        raw.answer(Some((1, [20, 10], &[0]))).await;
        raw.answer(Some((1, [85, 10], &[0]))).await;
        let publish = [vec![0, 0], short(&self.options.billing_exchange), short("a"), vec![0]].concat();
        raw.method(1, [60, 40], &publish).await;
        raw.frame(2, 1, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], properties].concat()).await;
        let confirmed = raw.answer(None).await;
        assert_eq!(confirmed[..4], [0, 60, 0, 80], "an acknowledgement");
    }
}

/// A connection spoken by hand: `[class, method]`, arguments.
struct Raw(TcpStream);

impl Raw {
    async fn frame(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        self.0.write_all(&[&[kind, 0, channel][..], &long(payload), &[0xce]].concat()).await.unwrap();
    }

    async fn method(&mut self, channel: u8, [class, method]: [u8; 2], arguments: &[u8]) {
        self.frame(1, channel, &[&[0, class, 0, method][..], arguments].concat()).await;
    }

    /// Says something, if anything, and returns the next frame's payload.
    async fn answer(&mut self, say: Option<(u8, [u8; 2], &[u8])>) -> Vec<u8> {
        if let Some((channel, method, arguments)) = say {
            self.method(channel, method, arguments).await;
        }
        let read = async {
            let mut start = [0; 7];
            self.0.read_exact(&mut start).await.unwrap();
            let size = u32::from_be_bytes(start[3..].try_into().unwrap()) as usize;
            let mut payload = vec![0; size + 1];
            self.0.read_exact(&mut payload).await.unwrap();
            payload
        };
        timeout(LIMIT, read).await.expect("the broker does not answer")
    }
}
