//! What prompts have in common is computed once: the attention cache of their beginnings, in blocks, shared by all.
//!
//! A tree of blocks; the path from the root to a block is the text it belongs to, compared token by token. Only what was
//! computed as a prompt is kept, so what is found is, bit by bit, what computing it again would give. The memory is a
//! fixed number of bytes; the block that was used least lately makes room, and never before those that follow it.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use crate::kv_cache::BLOCK;

/// Blocks that are read at once, beside what the budget has.
const READ_AT_ONCE: usize = 8;

/// What the cache did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Prompts that were looked up.
    pub(crate) lookups: u64,
    /// Prompts whose beginning was found.
    pub(crate) hits: u64,
    /// Tokens that were found.
    pub(crate) tokens: u64,
    /// Blocks that made room for others.
    pub(crate) evictions: u64,
}

type Id = u64;
/// The node of no block, which every text begins with.
const ROOT: Id = 0;

/// Sorts by use; of blocks used together, the last of the text comes first.
type Rank = (u64, Reverse<usize>, Id);

#[derive(Debug)]
struct Node<V> {
    parent: Id,
    tokens: Box<[u32]>,
    values: V,
    rank: Rank,
}

/// Blocks of attention cache by the text that leads to them.
#[derive(Debug)]
pub(crate) struct PrefixCache<V> {
    budget: usize,
    /// The bytes that a block takes with all that belongs to it.
    block_bytes: usize,
    nodes: HashMap<Id, Node<V>>,
    children: HashMap<(Id, Box<[u32]>), Id>,
    by_use: BTreeSet<Rank>,
    next_id: Id,
    now: u64,
    counts: Counts,
}

impl<V> PrefixCache<V> {
    /// For blocks of so many bytes; a budget of 0 bytes keeps nothing.
    pub(crate) fn new(budget: usize, block_bytes: usize) -> Self {
        // A block's tokens are there twice.
        let beside = 2 * BLOCK * size_of::<u32>() + size_of::<Node<V>>();
        Self {
            budget,
            block_bytes: block_bytes + beside,
            nodes: HashMap::new(),
            children: HashMap::new(),
            by_use: BTreeSet::new(),
            next_id: ROOT + 1,
            now: 0,
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The bytes of what is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.nodes.len() * self.block_bytes
    }

    /// The blocks that a prompt begins with, of at most `most` tokens together.
    pub(crate) fn find(&mut self, prompt: &[u32], most: usize) -> Vec<&V> {
        self.counts.lookups += 1;
        let path = self.path(&prompt[..most.min(prompt.len())]);
        let tokens = path.len() * BLOCK;
        self.counts.hits += u64::from(tokens > 0);
        self.counts.tokens += tokens as u64;
        self.touch(&path);
        let values = |id| &self.nodes[id].values;
        path.iter().map(values).collect()
    }

    /// Keeps the whole blocks of a prompt; `read` gives the values of so many blocks from a position on.
    pub(crate) fn keep<E>(
        &mut self,
        prompt: &[u32],
        mut read: impl FnMut(usize, usize) -> Result<Vec<V>, E>,
    ) -> Result<(), E> {
        let mut path = self.path(prompt);
        self.touch(&path);
        let (known, all) = (path.len(), prompt.len() / BLOCK);
        for first in (known..all).step_by(READ_AT_ONCE) {
            if !self.make_room() {
                return Ok(());
            }
            let count = READ_AT_ONCE.min(all - first);
            for (block, values) in (first..).zip(read(first * BLOCK, count)?) {
                let tokens = &prompt[block * BLOCK..][..BLOCK];
                let parent = path.last().copied().unwrap_or(ROOT);
                match self.insert(parent, tokens.into(), values, block) {
                    Some(id) => path.push(id),
                    None => return Ok(()),
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, parent: Id, tokens: Box<[u32]>, values: V, depth: usize) -> Option<Id> {
        let id = self.next_id;
        let node = Node {
            parent,
            tokens: tokens.clone(),
            values,
            rank: (self.now, Reverse(depth), id),
        };
        if !self.make_room() {
            return None;
        }
        self.next_id += 1;
        self.by_use.insert(node.rank);
        self.children.insert((parent, tokens), id);
        self.nodes.insert(id, node);
        Some(id)
    }

    /// Whether there is room for a block, after the least lately used ones have gone.
    fn make_room(&mut self) -> bool {
        while self.bytes() + self.block_bytes > self.budget {
            match self.by_use.first() {
                // What was used just now is what the new block follows.
                Some(&(used, _, id)) if used < self.now => self.evict(id),
                _ => return false,
            }
        }
        true
    }

    fn evict(&mut self, id: Id) {
        if let Some(node) = self.nodes.remove(&id) {
            self.by_use.remove(&node.rank);
            self.children.remove(&(node.parent, node.tokens));
            self.counts.evictions += 1;
        }
    }

    fn path(&self, prompt: &[u32]) -> Vec<Id> {
        let mut path = Vec::new();
        let mut parent = ROOT;
        for tokens in prompt.chunks_exact(BLOCK) {
            let Some(&id) = self.children.get(&(parent, tokens.into())) else {
                break;
            };
            path.push(id);
            parent = id;
        }
        path
    }

    /// Marks a path as used now. All of it, so that no block is ever older than one that follows it.
    fn touch(&mut self, path: &[Id]) {
        self.now += 1;
        for (depth, id) in path.iter().enumerate() {
            let Some(node) = self.nodes.get_mut(id) else {
                continue;
            };
            self.by_use.remove(&node.rank);
            node.rank = (self.now, Reverse(depth), *id);
            self.by_use.insert(node.rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    type Kept = PrefixCache<Box<[f32]>>;

    fn new(budget: usize) -> Kept {
        PrefixCache::new(budget, 400)
    }

    fn prompt(blocks: &[u32]) -> Vec<u32> {
        blocks.iter().flat_map(|&block| [block; BLOCK]).collect()
    }

    /// A block's value tells which one it is.
    fn values(prompt: &[u32]) -> impl FnMut(usize, usize) -> Result<Vec<Box<[f32]>>, Infallible> {
        let value = |token: u32| f32::from(u16::try_from(token).expect("small"));
        move |start, blocks| {
            let tokens = prompt[start..].iter().step_by(BLOCK).take(blocks);
            Ok(tokens.map(|&token| [value(token); 100].into()).collect())
        }
    }

    fn keep(cache: &mut Kept, blocks: &[u32]) {
        let prompt = prompt(blocks);
        let Ok(()) = cache.keep(&prompt, values(&prompt));
    }

    fn find(cache: &mut Kept, blocks: &[u32]) -> Vec<f32> {
        let prompt = prompt(blocks);
        let found = cache.find(&prompt, prompt.len());
        found.iter().map(|values| values[0]).collect()
    }

    fn block_bytes() -> usize {
        let mut cache = new(1 << 20);
        keep(&mut cache, &[1]);
        cache.bytes()
    }

    #[test]
    fn the_longest_common_beginning_is_found() {
        let mut cache = new(1 << 20);
        keep(&mut cache, &[1, 2, 3]);
        keep(&mut cache, &[1, 5]);
        assert_eq!(find(&mut cache, &[1, 2, 4]), [1.0, 2.0]);
        assert_eq!(find(&mut cache, &[1, 5, 3]), [1.0, 5.0]);
        assert!(find(&mut cache, &[2, 3]).is_empty(), "another beginning");
        let expected = Counts {
            lookups: 3,
            hits: 2,
            tokens: 4 * BLOCK as u64,
            evictions: 0,
        };
        assert_eq!(cache.counts(), expected);
    }

    #[test]
    fn common_blocks_are_kept_once() {
        let mut cache = new(1 << 20);
        keep(&mut cache, &[1, 2]);
        let bytes = cache.bytes();
        keep(&mut cache, &[1, 2]);
        assert_eq!(cache.bytes(), bytes);
    }

    #[test]
    fn no_more_is_found_than_may_be() {
        let mut cache = new(1 << 20);
        let prompt = prompt(&[1, 2]);
        let Ok(()) = cache.keep(&prompt, values(&prompt));
        assert_eq!(cache.find(&prompt, 2 * BLOCK - 1).len(), 1);
    }

    #[test]
    fn a_part_of_a_block_is_not_kept() {
        let mut cache = new(1 << 20);
        let prompt = prompt(&[1, 2]);
        let Ok(()) = cache.keep(&prompt[..2 * BLOCK - 1], values(&prompt));
        assert_eq!(find(&mut cache, &[1, 2]), [1.0]);
    }

    #[test]
    fn the_least_lately_used_makes_room_and_the_end_of_a_text_before_its_beginning() {
        let mut cache = new(3 * block_bytes());
        keep(&mut cache, &[1, 2]);
        keep(&mut cache, &[3]);
        find(&mut cache, &[1]);
        keep(&mut cache, &[4]);
        assert_eq!(
            find(&mut cache, &[1, 2]),
            [1.0],
            "2 was used before 3 and 1"
        );
        keep(&mut cache, &[5]);
        assert!(find(&mut cache, &[3]).is_empty());
        assert_eq!(cache.counts().evictions, 2);
    }

    #[test]
    fn a_prompt_beyond_the_budget_keeps_its_beginning() {
        let mut cache = new(2 * block_bytes());
        keep(&mut cache, &[1, 2, 3, 4]);
        assert_eq!(find(&mut cache, &[1, 2, 3, 4]), [1.0, 2.0]);
    }

    #[test]
    fn without_a_budget_nothing_is_read_or_kept() {
        let mut cache = new(0);
        let read = |_, _| -> Result<_, Infallible> { unreachable!("nothing is read") };
        let Ok(()) = cache.keep(&prompt(&[1]), read);
        assert_eq!(cache.bytes(), 0);
    }

    proptest! {
        #[test]
        fn what_is_found_belongs_to_the_text_and_the_budget_holds(
            prompts in proptest::collection::vec(proptest::collection::vec(0_u32..4, 1..6), 1..60),
            blocks in 0_usize..12,
        ) {
            let budget = blocks * block_bytes();
            let mut cache = new(budget);
            for blocks in prompts {
                // Distinct along a path: the value tells depth and token.
                let prompt = prompt(&blocks);
                let deep = |start: usize| -> Box<[f32]> {
                    let depth = u16::try_from(start / BLOCK).expect("small");
                    let token = u16::try_from(prompt[start]).expect("small");
                    Box::new([f32::from(depth * 10 + token); 100])
                };
                let found = cache.find(&prompt, prompt.len());
                for (block, values) in found.into_iter().enumerate() {
                    prop_assert_eq!(values, &deep(block * BLOCK));
                }
                let read = |start, blocks| -> Result<_, Infallible> {
                    Ok((0..blocks).map(|block| deep(start + block * BLOCK)).collect())
                };
                let Ok(()) = cache.keep(&prompt, read);
                prop_assert!(cache.bytes() <= budget);
                prop_assert_eq!(cache.nodes.len(), cache.by_use.len());
                prop_assert_eq!(cache.nodes.len(), cache.children.len());
                let orphans = cache.nodes.values().filter(|node| node.parent != ROOT && !cache.nodes.contains_key(&node.parent));
                prop_assert_eq!(orphans.count(), 0);
            }
        }
    }
}
