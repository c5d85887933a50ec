//! Which acknowledgements to send for the tags of one channel. Pure.
//!
//! The broker numbers the deliveries of a channel 1, 2, 3 …; one multiple-acknowledge settles all up to its tag. So it
//! is used only for a tag below which everything is settled already, or settled by this very call. What is above a hole
//! waits: lanes end in another order than their messages came, so most holes are filled soon, and then one frame serves
//! for all. [`Window::no_longer`] sends it tag by tag. Tag 0, which would settle everything, is never made. A tag that was
//! settled before, or was never delivered, is left out: the broker would close the channel over it.

use std::collections::BTreeSet;

/// The tags of one channel. What it holds is bounded by the prefetch, however long one tag stays open.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The highest tag that came.
    delivered: u64,
    /// Those that came and are not settled.
    open: BTreeSet<u64>,
    /// Settled tags above an open one, whose acknowledgement waits.
    waiting: BTreeSet<u64>,
}

/// What to send on one channel, requeues first: a multiple-acknowledge must find them settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Tags to requeue, one by one.
    pub(super) requeues: Vec<u64>,
    /// Tags to acknowledge, and whether all below are meant too.
    pub(super) acks: Vec<(u64, bool)>,
}

impl Window {
    /// A delivery came.
    pub(super) fn deliver(&mut self, tag: u64) {
        self.open.extend(self.delivered + 1..=tag);
        self.delivered = self.delivered.max(tag);
    }

    /// The highest tag that is not settled.
    pub(super) fn unsettled(&self) -> Option<u64> {
        self.open.last().copied()
    }

    /// Settles `acks` and `requeues`, and says what to send now.
    pub(super) fn settle(&mut self, acks: &[u64], requeues: &[u64]) -> Plan {
        let requeues: Vec<u64> = requeues.iter().copied().filter(|tag| self.open.remove(tag)).collect();
        self.waiting.extend(acks.iter().filter(|tag| self.open.remove(tag)));
        let beyond_a_hole = self.waiting.split_off(&(self.floor() + 1));
        let below = std::mem::replace(&mut self.waiting, beyond_a_hole);
        Plan { requeues, acks: below.last().map(|last| (*last, below.len() > 1)).into_iter().collect() }
    }

    /// Everything up to here is settled.
    pub(super) fn floor(&self) -> u64 {
        self.open.first().map_or(self.delivered, |lowest| lowest - 1)
    }

    /// How many acknowledgements wait behind a hole.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lets no acknowledgement wait any longer.
    pub(super) fn no_longer(&mut self) -> Plan {
        let acks = std::mem::take(&mut self.waiting).into_iter().map(|tag| (tag, false)).collect();
        Plan { requeues: Vec::new(), acks }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Acknowledged, requeued; sent as requeues, sent as acknowledgements.
    type Call<'a> = (&'a [u64], &'a [u64], &'a [u64], &'a [(u64, bool)]);

    fn check(delivered: u64, calls: &[Call]) {
        let mut window = Window::default();
        window.deliver(delivered);
        for (acks, requeues, sent_requeues, sent_acks) in calls {
            let plan = window.settle(acks, requeues);
            assert_eq!((plan.requeues.as_slice(), plan.acks.as_slice()), (*sent_requeues, *sent_acks));
        }
    }

    #[test]
    fn a_contiguous_run_is_one_multiple_acknowledge() {
        check(5, &[(&[1, 2, 3], &[], &[], &[(3, true)]), (&[5, 4], &[], &[], &[(5, true)])]);
    }

    #[test]
    fn one_tag_is_a_single_acknowledge() {
        check(2, &[(&[1], &[], &[], &[(1, false)])]);
    }

    #[test]
    fn what_is_behind_a_hole_waits_until_the_hole_is_filled() {
        check(6, &[(&[1, 2, 4, 5], &[], &[], &[(2, true)]), (&[3], &[], &[], &[(5, true)])]);
    }

    #[test]
    fn what_waits_no_longer_is_acknowledged_tag_by_tag_and_never_again() {
        let mut window = Window::default();
        window.deliver(6);
        assert_eq!(window.settle(&[2, 3], &[]).acks, []);
        assert_eq!((window.waiting(), window.no_longer().acks), (2, vec![(2, false), (3, false)]));
        assert_eq!((window.waiting(), window.no_longer().acks), (0, vec![]));
        assert_eq!(window.settle(&[1], &[]).acks, [(1, false)], "2 and 3 are settled");
        assert_eq!(window.settle(&[5, 4], &[]).acks, [(5, true)]);
    }

    #[test]
    fn a_requeued_tag_does_not_break_the_run() {
        check(4, &[(&[1, 3, 4], &[2], &[2], &[(4, true)])]);
    }

    #[test]
    fn a_requeued_tag_at_the_end_is_never_acknowledged() {
        check(4, &[(&[1, 2, 3], &[4], &[4], &[(3, true)])]);
    }

    #[test]
    fn a_tag_that_stays_open_lets_nothing_pile_up_behind_it() {
        let mut window = Window::default();
        for tag in 1..=10_000 {
            window.deliver(tag);
            if tag > 1 {
                window.settle(&[tag], &[]);
                window.no_longer();
            }
        }
        assert_eq!((window.open.len(), window.waiting.len(), window.floor()), (1, 0, 0));
    }

    #[test]
    fn what_is_given_back_in_the_end_reaches_up_to_a_tag_that_is_open() {
        let mut window = Window::default();
        assert_eq!(window.unsettled(), None);
        window.deliver(4);
        window.settle(&[2, 4], &[]);
        assert_eq!(window.unsettled(), Some(3));
        window.settle(&[1, 3], &[]);
        assert_eq!(window.unsettled(), None);
    }

    #[test]
    fn tags_that_are_not_open_are_left_out() {
        check(2, &[(&[0, 1, 9], &[], &[], &[(1, false)]), (&[1], &[1], &[], &[])]);
    }

    proptest! {
        /// A model of the broker: whatever the order of settling, exactly the tags asked for are settled, each once.
        #[test]
        fn the_broker_settles_what_was_asked(order in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle(),
                                             cuts in prop::collection::vec(1..8_usize, 1..20)) {
            let mut window = Window::default();
            window.deliver(40);
            let mut open: BTreeSet<u64> = (1..=40).collect();
            let mut rest = order.as_slice();
            for cut in cuts {
                let (call, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                let (requeues, acks): (Vec<u64>, Vec<u64>) = call.iter().partition(|tag| **tag % 7 == 0);
                let mut plans = vec![window.settle(&acks, &requeues)];
                let patient = cut % 3 > 0;
                if !patient {
                    plans.push(window.no_longer());
                }
                for tag in plans.iter().flat_map(|plan| &plan.requeues) {
                    prop_assert!(open.remove(tag));
                }
                for (tag, multiple) in plans.iter().flat_map(|plan| &plan.acks) {
                    prop_assert!(*tag > 0 && open.contains(tag));
                    open.retain(|other| if *multiple { other > tag } else { other != tag });
                }
                let asked_for: BTreeSet<u64> = rest.iter().copied().collect();
                prop_assert!(asked_for.is_subset(&open), "nothing is settled that nobody asked for");
                prop_assert_eq!(open.len(), asked_for.len() + window.waiting());
                prop_assert!(patient || window.waiting() == 0);
            }
        }
    }
}
