//! Which lane handles what. Pure.
//!
//! A batch holds the accounts of its customers until its commit: in another lane their next messages would wait for the
//! lock, with all their neighbours. So what comes is given to lanes that are free, no customer to two of them, and
//! messages of customers that a busy lane has in hand wait until it is free, or lets go since it is held up. It is a
//! matter of speed only: locks keep the peace whoever handles what, and two processes share nothing of this.

use std::collections::{HashMap, VecDeque};

/// What messages are told apart by: a hash of the customer. Two customers with one hash are kept together, and no more.
pub type Share = u64;

/// What is shared out.
pub trait Shared {
    /// The customer's hash; absent if no customer is known.
    fn share(&self) -> Option<Share>;
    /// How many bytes it has.
    fn bytes(&self) -> usize;
}

/// Which lanes are free, and what the others have in hand.
#[derive(Debug)]
pub struct Sharing {
    /// The lane that has a customer in hand.
    in_hand: HashMap<Share, usize>,
    free: Vec<bool>,
    /// The most messages, and bytes, that a lane gets at once.
    limits: (usize, usize),
}

impl Sharing {
    /// So many `lanes`, none of them free. Each gets so many messages and bytes at most (a single larger one alone).
    #[must_use]
    pub fn new(lanes: usize, limits: (usize, usize)) -> Self {
        Self { in_hand: HashMap::new(), free: vec![false; lanes], limits }
    }

    /// A lane has nothing in hand any more.
    pub fn is_free(&mut self, lane: usize) {
        self.free[lane] = true;
        self.lets_go(lane);
    }

    /// A lane is not free any more, though it was given nothing.
    pub fn is_busy(&mut self, lane: usize) {
        self.free[lane] = false;
    }

    /// Nothing waits any longer for what a lane has in hand.
    pub fn lets_go(&mut self, lane: usize) {
        self.in_hand.retain(|_, holder| *holder != lane);
    }

    /// How many messages more are to be taken, while so many wait: as many as all lanes could have. One that is free needs
    /// more than its own share of them, since some are of customers that the others have in hand. None while no lane is
    /// free.
    #[must_use]
    pub fn room(&self, waiting: usize) -> usize {
        let (messages, _) = self.limits;
        if self.free.contains(&true) { (self.free.len() * messages).saturating_sub(waiting) } else { 0 }
    }

    /// Takes from `waiting`, in order, what lanes that are free can have now; these are busy then.
    pub fn share_out<T: Shared>(&mut self, waiting: &mut VecDeque<T>) -> Vec<(usize, Vec<T>)> {
        let free = (0..self.free.len()).filter(|lane| self.free[*lane]);
        let mut batches: Vec<(usize, usize, Vec<T>)> = free.map(|lane| (lane, 0, Vec::new())).collect();
        let mut rest = VecDeque::new();
        let (messages, most) = self.limits;
        for item in waiting.drain(..) {
            let holder = item.share().and_then(|share| self.in_hand.get(&share).copied());
            let batch = match holder {
                Some(holder) => batches.iter_mut().find(|(lane, ..)| *lane == holder),
                None => batches.iter_mut().min_by_key(|(_, bytes, batch)| (*bytes > most, batch.len())),
            };
            let Some((lane, bytes, batch)) = batch else {
                rest.push_back(item);
                continue;
            };
            if !batch.is_empty() && (batch.len() >= messages || bytes.saturating_add(item.bytes()) > most) {
                // Full for what comes behind as well, which keeps a customer's messages in order.
                *bytes = most.saturating_add(1);
                rest.push_back(item);
                continue;
            }
            if let Some(share) = item.share() {
                self.in_hand.insert(share, *lane);
            }
            *bytes += item.bytes();
            batch.push(item);
        }
        *waiting = rest;
        batches.retain(|(_, _, batch)| !batch.is_empty());
        for (lane, ..) in &batches {
            self.free[*lane] = false;
        }
        batches.into_iter().map(|(lane, _, batch)| (lane, batch)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A customer, 0 for none, and a size.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Item(Share, usize);

    impl Shared for Item {
        fn share(&self) -> Option<Share> {
            (self.0 > 0).then_some(self.0)
        }

        fn bytes(&self) -> usize {
            self.1
        }
    }

    /// Two lanes that get up to 4 messages or 100 bytes at once.
    fn lanes(free: &[usize]) -> Sharing {
        let mut sharing = Sharing::new(2, (4, 100));
        for lane in free {
            sharing.is_free(*lane);
        }
        sharing
    }

    /// What lanes get of messages of these customers, and what is left.
    #[track_caller]
    fn check(sharing: &mut Sharing, waiting: &[Share], given: &[(usize, &[Share])], left: &[Share]) {
        let mut waiting: VecDeque<Item> = waiting.iter().map(|share| Item(*share, 1)).collect();
        let batches = sharing.share_out(&mut waiting);
        let shares = |items: Vec<Item>| items.iter().map(|item| item.0).collect::<Vec<_>>();
        let batches: Vec<(usize, Vec<Share>)> =
            batches.into_iter().map(|(lane, batch)| (lane, shares(batch))).collect();
        assert_eq!(batches, given.iter().map(|(lane, batch)| (*lane, batch.to_vec())).collect::<Vec<_>>());
        assert_eq!(shares(waiting.into()), left);
    }

    #[test]
    fn lanes_that_are_free_share_what_came_and_no_customer_is_in_two() {
        check(&mut lanes(&[0, 1]), &[1, 2, 1, 3, 2], &[(0, &[1, 1]), (1, &[2, 3, 2])], &[]);
    }

    #[test]
    fn one_lane_that_is_free_takes_all_but_the_customers_of_the_busy_one() {
        let mut sharing = lanes(&[1]);
        check(&mut sharing, &[1, 2], &[(1, &[1, 2])], &[]);
        sharing.is_free(0);
        check(&mut sharing, &[1, 3, 2, 4], &[(0, &[3, 4])], &[1, 2]);
        assert_eq!(sharing.room(0), 0);
        sharing.is_free(1);
        check(&mut sharing, &[1, 3, 2], &[(1, &[1, 2])], &[3]);
    }

    #[test]
    fn customers_that_one_lane_had_are_shared_anew_once_it_is_free() {
        let mut sharing = lanes(&[0]);
        check(&mut sharing, &[1, 2], &[(0, &[1, 2])], &[]);
        sharing.is_free(1);
        check(&mut sharing, &[1, 2, 1], &[], &[1, 2, 1]);
        sharing.is_free(0);
        check(&mut sharing, &[1, 2, 1], &[(0, &[1, 1]), (1, &[2])], &[]);
    }

    #[test]
    fn a_lane_gets_a_full_batch_though_half_of_what_came_is_another_ones() {
        let mut sharing = lanes(&[0]);
        check(&mut sharing, &[1], &[(0, &[1])], &[]);
        sharing.is_free(1);
        let came = [1, 2].repeat(sharing.room(0) / 2);
        check(&mut sharing, &came, &[(1, &[2, 2, 2, 2])], &[1, 1, 1, 1]);
        sharing.is_free(1);
        assert_eq!((sharing.room(4), sharing.room(9)), (4, 0), "what waits takes its place");
    }

    #[test]
    fn messages_of_no_known_customer_wait_for_nobody() {
        check(&mut lanes(&[0, 1]), &[0, 0, 0], &[(0, &[0, 0]), (1, &[0])], &[]);
    }

    #[test]
    fn nothing_waits_for_a_lane_that_lets_go() {
        let mut sharing = lanes(&[0]);
        check(&mut sharing, &[1, 2], &[(0, &[1, 2])], &[]);
        sharing.is_free(1);
        check(&mut sharing, &[1], &[], &[1]);
        sharing.lets_go(0);
        check(&mut sharing, &[1, 2], &[(1, &[1, 2])], &[]);
    }

    #[test]
    fn a_lane_that_is_busy_by_itself_gets_nothing() {
        let mut sharing = lanes(&[0, 1]);
        sharing.is_busy(0);
        check(&mut sharing, &[1, 2], &[(1, &[1, 2])], &[]);
    }

    #[test]
    fn a_lane_with_nothing_to_do_stays_free() {
        let mut sharing = lanes(&[0, 1]);
        check(&mut sharing, &[1], &[(0, &[1])], &[]);
        assert!(sharing.room(0) > 0);
        check(&mut sharing, &[2], &[(1, &[2])], &[]);
    }

    #[test]
    fn a_lane_gets_no_more_than_its_limits_and_a_larger_message_alone() {
        check(&mut lanes(&[0]), &[1, 2, 3, 4, 5], &[(0, &[1, 2, 3, 4])], &[5]);
        let mut large: VecDeque<Item> = [Item(1, 500), Item(2, 1)].into();
        assert_eq!(lanes(&[0]).share_out(&mut large), [(0, vec![Item(1, 500)])]);
        let mut half: VecDeque<Item> = [Item(1, 60), Item(2, 60), Item(3, 40)].into();
        assert_eq!(lanes(&[0]).share_out(&mut half), [(0, vec![Item(1, 60)])]);
        assert_eq!(half, [Item(2, 60), Item(3, 40)], "in order");
    }

    proptest! {
        /// Whatever comes and whoever is free when: no customer is in two hands, and everything is given once.
        #[test]
        fn no_customer_is_in_two_hands_and_nothing_is_lost(
            steps in prop::collection::vec((0..3_usize, prop::collection::vec(0..6_u64, 0..8)), 1..40)
        ) {
            let mut sharing = Sharing::new(3, (4, 100));
            let mut hands: Vec<Vec<Share>> = vec![Vec::new(); 3];
            let (mut waiting, mut came, mut done) = (VecDeque::new(), 0, 0);
            let all_free = (0..60).map(|step| (step % 3, Vec::new()));
            for (free, shares) in steps.into_iter().chain(all_free) {
                done += std::mem::take(&mut hands[free]).len();
                sharing.is_free(free);
                came += shares.len();
                waiting.extend(shares.into_iter().map(|share| Item(share, 1)));
                for (lane, batch) in sharing.share_out(&mut waiting) {
                    prop_assert!(hands[lane].is_empty() && batch.len() <= 4);
                    hands[lane] = batch.iter().map(|item| item.0).collect();
                }
                for share in 1..6 {
                    prop_assert!(hands.iter().filter(|hand| hand.contains(&share)).count() <= 1);
                }
            }
            prop_assert_eq!((waiting.len(), done + hands.concat().len()), (0, came));
        }
    }
}
