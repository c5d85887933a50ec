//! What stands between the broker's bytes and the driver: no message can stop us by how its properties are written.
//!
//! The driver parses properties as they arrive, before any code of ours sees the message. One that is no UTF-8 where it
//! expects text costs the connection, again after every redelivery; tables nested a thousand deep, in 5 KB, overflow the
//! driver's stack and abort the process. RabbitMQ accepts both. So each content header is checked here first, and one
//! that the driver could not survive is replaced: its properties become the single header [`UNREADABLE`], which holds
//! their bytes. The message then arrives like any other, and is refused by those who look at its meaning.
//!
//! Everything else passes unchanged. Works on decrypted bytes; called by `link`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

/// The header that holds properties which could not be read.
pub(super) const UNREADABLE: &str = "x-unreadable-properties";

/// Tables and lists nested deeper are unreadable. RabbitMQ's own headers nest three deep.
const MAX_DEPTH: usize = 32;
/// Type, channel, size.
const FRAME_START: usize = 7;
/// The octet that ends each frame.
const FRAME_END: usize = 1;
const CONTENT_HEADER: u8 = 2;
/// Class, weight and body size come before the properties.
const BEFORE_PROPERTIES: usize = 12;
/// A content header is one frame, and no broker agrees on larger ones than this; a larger size is not a frame.
const MAX_FRAME: usize = 16 << 20;
/// What replacing adds. A frame near the agreed size must not grow beyond it, so its tail is cut by as much.
const OVERHEAD: usize = 64;
/// The smallest frame size that can be agreed on.
const MIN_FRAME: usize = 4096;
/// The kind of each property, from the highest flag down.
const PROPERTIES: [Kind; 14] = {
    use Kind::{Octet, Text, Timestamp};
    [Text, Text, Kind::Table, Octet, Octet, Text, Text, Text, Text, Timestamp, Text, Text, Text, Text]
};
/// The flag of the third property, the header table.
const HEADERS_ONLY: [u8; 2] = (1_u16 << 13).to_be_bytes();

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Table,
    Octet,
    Timestamp,
}

/// A connection whose incoming content headers are all readable.
pub(super) struct Screen<S> {
    inner: S,
    frames: Frames,
    scratch: Box<[u8]>,
}

impl<S> Screen<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, frames: Frames::default(), scratch: vec![0; 64 << 10].into() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screen<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while this.frames.ready.is_empty() {
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut this.scratch))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            this.frames.take(&this.scratch[..read]);
        }
        Poll::Ready(Ok(this.frames.give(out)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Screen<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// Cuts a stream of bytes into frames, however the bytes arrive.
#[derive(Default)]
struct Frames {
    /// The start of a frame, or a whole content header so far.
    start: Vec<u8>,
    /// Bytes of the current frame that pass unseen.
    pass: usize,
    /// What the driver may have, from `given` on.
    ready: Vec<u8>,
    given: usize,
}

impl Frames {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = if self.pass > 0 { self.pass } else { self.wanted() };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            bytes = later;
            if self.pass > 0 {
                self.pass -= now.len();
                self.ready.extend_from_slice(now);
            } else {
                self.start.extend_from_slice(now);
                self.proceed();
            }
        }
    }

    /// How many bytes of the frame's start are missing.
    fn wanted(&self) -> usize {
        match self.rest() {
            None => FRAME_START - self.start.len(),
            Some(rest) => (FRAME_START + rest).saturating_sub(self.start.len()),
        }
    }

    /// Lets the frame go on once enough of it is there.
    fn proceed(&mut self) {
        let Some(rest) = self.rest() else { return };
        if self.start[0] != CONTENT_HEADER || rest > MAX_FRAME {
            self.pass = rest;
        } else if self.start.len() < FRAME_START + rest {
            return;
        } else {
            make_readable(&mut self.start);
        }
        self.ready.append(&mut self.start);
    }

    /// How many bytes follow the frame's start, once that is known.
    fn rest(&self) -> Option<usize> {
        let size = self.start.get(3..FRAME_START)?;
        Some(u32::from_be_bytes(size.try_into().ok()?) as usize + FRAME_END)
    }

    fn give(&mut self, out: &mut [u8]) -> usize {
        let left = &self.ready[self.given..];
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.given += count;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        count
    }
}

/// Replaces the properties of a whole content header frame if the driver could not read them.
fn make_readable(frame: &mut Vec<u8>) {
    let from = FRAME_START + BEFORE_PROPERTIES;
    let Some(properties) = frame.get(from..frame.len() - FRAME_END) else { return };
    if Unread(properties).properties().is_some() {
        return;
    }
    let cut = if frame.len() > MIN_FRAME / 2 { OVERHEAD } else { 0 };
    let kept = &properties[..properties.len().saturating_sub(cut)];
    let replaced =
        [&HEADERS_ONLY[..], &long(&[&[name_length()], UNREADABLE.as_bytes(), b"x", &long(kept)].concat())].concat();
    frame.splice(from..frame.len() - FRAME_END, replaced);
    let size = long_size(frame.len() - FRAME_START - FRAME_END);
    frame[3..FRAME_START].copy_from_slice(&size);
}

/// Bytes with their length before them.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&long_size(bytes.len())[..], bytes].concat()
}

fn long_size(size: usize) -> [u8; 4] {
    u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes()
}

fn name_length() -> u8 {
    u8::try_from(UNREADABLE.len()).unwrap_or(u8::MAX)
}

/// Bytes still to be checked. Each step is `None` where the driver would fail.
struct Unread<'a>(&'a [u8]);

impl<'a> Unread<'a> {
    /// Checks properties to their end.
    fn properties(mut self) -> Option<()> {
        let flags = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        for (place, kind) in PROPERTIES.iter().enumerate() {
            if flags & (1 << (15 - place)) != 0 {
                self.property(*kind)?;
            }
        }
        self.0.is_empty().then_some(())
    }

    fn property(&mut self, kind: Kind) -> Option<()> {
        match kind {
            Kind::Text => self.short_text(),
            Kind::Table => Unread(self.long()?).table(0),
            Kind::Octet => self.take(1).map(drop),
            Kind::Timestamp => self.take(8).map(drop),
        }
    }

    fn table(mut self, depth: usize) -> Option<()> {
        while !self.0.is_empty() {
            self.short_text()?;
            self.value(depth)?;
        }
        Some(())
    }

    fn list(mut self, depth: usize) -> Option<()> {
        while !self.0.is_empty() {
            self.value(depth)?;
        }
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.take(1)?[0] {
            b'V' => Some(()),
            b't' | b'b' | b'B' => self.take(1).map(drop),
            b's' | b'U' | b'u' => self.take(2).map(drop),
            b'I' | b'i' | b'f' => self.take(4).map(drop),
            b'D' => self.take(5).map(drop),
            b'L' | b'l' | b'd' | b'T' => self.take(8).map(drop),
            b'S' | b'x' => self.long().map(drop),
            b'A' if depth < MAX_DEPTH => Unread(self.long()?).list(depth + 1),
            b'F' if depth < MAX_DEPTH => Unread(self.long()?).table(depth + 1),
            _ => None,
        }
    }

    fn short_text(&mut self) -> Option<()> {
        let length = self.take(1)?[0];
        std::str::from_utf8(self.take(length.into())?).ok().map(drop)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(length as usize)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::basic::parse_properties;
    use proptest::prelude::*;

    use super::*;

    fn header_frame(properties: &[u8]) -> Vec<u8> {
        let payload = [&[0; BEFORE_PROPERTIES], properties].concat();
        [&[CONTENT_HEADER, 0, 1][..], &long(&payload), &[0xce]].concat()
    }

    /// What comes out for one header frame, its properties only.
    fn screened(properties: &[u8]) -> Vec<u8> {
        let mut frames = Frames::default();
        frames.take(&header_frame(properties));
        let size = u32::from_be_bytes(frames.ready[3..FRAME_START].try_into().unwrap()) as usize;
        assert_eq!(frames.ready.len(), FRAME_START + size + FRAME_END);
        assert_eq!(frames.ready.last(), Some(&0xce));
        frames.ready[FRAME_START + BEFORE_PROPERTIES..FRAME_START + size].to_vec()
    }

    fn nested(depth: usize) -> Vec<u8> {
        let value = (0..depth).fold(b"V".to_vec(), |inner, _| [b"A", &long(&inner)[..]].concat());
        [&HEADERS_ONLY[..], &long(&[b"\x01k", &value[..]].concat())].concat()
    }

    fn check_replaced(properties: &[u8]) {
        let (rest, read) = parse_properties(&screened(properties)[..]).map(|(rest, read)| (rest.len(), read)).unwrap();
        assert_eq!(rest, 0);
        let headers = read.headers().as_ref().unwrap().inner().clone();
        let held = headers[UNREADABLE].as_byte_array().unwrap().as_slice().to_vec();
        assert!(properties.starts_with(&held) && held.len() + OVERHEAD >= properties.len());
    }

    #[test]
    fn text_that_is_no_utf8_is_replaced() {
        check_replaced(&[0x00, 0x80, 3, b'i', 0xff, b'd']);
    }

    #[test]
    fn headers_nested_deep_are_replaced_and_shallow_ones_are_not() {
        assert_eq!(screened(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        check_replaced(&nested(MAX_DEPTH + 1));
        check_replaced(&nested(20_000));
    }

    #[test]
    fn replacing_never_makes_a_large_frame_larger() {
        let properties = nested(20_000);
        assert!(screened(&properties).len() <= properties.len());
    }

    proptest! {
        /// Whatever the bytes are, the driver can read what comes out; what it can read comes out unchanged.
        #[test]
        fn what_comes_out_can_be_read(
            flags in prop::array::uniform2(any::<u8>()),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), 0..4_u8, Just(b'S'), Just(b'F')], 0..60),
        ) {
            let properties = [&flags[..], &rest].concat();
            let before = parse_properties(&properties[..]).is_ok_and(|(rest, _)| rest.is_empty());
            let out = screened(&properties);
            let after = parse_properties(&out[..]);
            prop_assert!(after.is_ok_and(|(rest, _)| rest.is_empty()));
            prop_assert_eq!(before, out == properties);
        }

        /// Frames pass however the bytes arrive, and all but unreadable headers pass unchanged.
        #[test]
        fn frames_pass_however_they_arrive(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..6),
                                           cuts in prop::collection::vec(1..9_usize, 1..9)) {
            let whole: Vec<u8> = bodies.iter().flat_map(|body| {
                let frame = [&[3, 0, 1][..], &long(body), &[0xce]].concat();
                [header_frame(b"\x00\x80\x02id"), frame, vec![8, 0, 0, 0, 0, 0, 0, 0xce]].concat()
            }).collect();
            let (mut frames, mut out, mut left, mut cut) = (Frames::default(), Vec::new(), &whole[..], cuts.iter().cycle());
            while !left.is_empty() {
                let (now, later) = left.split_at((*cut.next().unwrap()).min(left.len()));
                left = later;
                frames.take(now);
                let mut buffer = [0; 5];
                while !frames.ready.is_empty() {
                    let count = frames.give(&mut buffer);
                    out.extend_from_slice(&buffer[..count]);
                }
            }
            prop_assert_eq!(out, whole);
        }
    }
}
