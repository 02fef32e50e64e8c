// SPDX-License-Identifier: GPL-2.0

//! Lookup references and how they are given back.
//!
//! Each successful lookup makes the server count a reference to the inode. Here it is a [`Lookup`] value: it ends in an
//! inode's count or, dropped, queues a FORGET. The memory for that FORGET is taken before the lookup is sent, so giving
//! back never fails.

use super::{Request, Transport};
use crate::proto::{
    dir::{BatchForgetIn, ForgetIn, ForgetOne},
    ids::{NodeId, Unique},
    opcode::Opcode,
};
use kernel::{prelude::*, sync::Arc};

/// Most references that one BATCH_FORGET gives back: what fits a request's arguments.
pub(crate) const BATCH: usize = 128;

/// A FORGET that waits to be sent.
pub(crate) struct ForgetNode {
    pub(crate) next: Option<KBox<ForgetNode>>,
    pub(crate) one: ForgetOne,
}

impl ForgetNode {
    /// Takes memory for one.
    pub(crate) fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                next: None,
                one: ForgetOne::default(),
            },
            GFP_KERNEL,
        )?)
    }
}

/// One reference that the server counts for an inode.
pub(crate) struct Lookup {
    transport: Arc<dyn Transport>,
    nodeid: NodeId,
    node: Option<KBox<ForgetNode>>,
}

impl Lookup {
    /// Takes over a reference that the server just gave.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        nodeid: NodeId,
        node: KBox<ForgetNode>,
    ) -> Self {
        Self {
            transport,
            nodeid,
            node: Some(node),
        }
    }

    /// Hands the reference to an inode's count, with the memory to give it back.
    pub(crate) fn into_node(mut self) -> Option<KBox<ForgetNode>> {
        self.node.take()
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.one = ForgetOne {
                nodeid: self.nodeid,
                nlookup: 1,
            };
            self.transport.forget(node);
        }
    }
}

/// FORGETs that wait.
#[derive(Default)]
pub(crate) struct ForgetList {
    head: Option<KBox<ForgetNode>>,
}

impl ForgetList {
    /// Adds one.
    pub(crate) fn push(&mut self, mut node: KBox<ForgetNode>) {
        node.next = self.head.take();
        self.head = Some(node);
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Takes them all.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    /// Takes one.
    pub(crate) fn take_one(&mut self) -> Option<ForgetOne> {
        self.pop().map(|node| node.one)
    }

    /// Takes one, with its memory.
    pub(crate) fn pop(&mut self) -> Option<KBox<ForgetNode>> {
        let mut node = self.head.take()?;
        self.head = node.next.take();
        Some(node)
    }

    /// Writes as many as fit into `request`. The list must not be empty.
    pub(crate) fn fill(&mut self, request: &mut Request, unique: Unique) -> Result {
        let first = self.pop().ok_or(EINVAL)?;
        if self.is_empty() {
            return request.prepare_forget(Opcode::FORGET, unique, first.one.nodeid, |args| {
                args.put(&ForgetIn {
                    nlookup: first.one.nlookup,
                })
            });
        }
        let mut batch = [ForgetOne::default(); BATCH];
        let mut count = 0;
        let mut next = Some(first);
        for slot in batch.iter_mut() {
            let Some(node) = next.take().or_else(|| self.pop()) else {
                break;
            };
            *slot = node.one;
            count += 1;
        }
        request.prepare_forget(Opcode::BATCH_FORGET, unique, NodeId::default(), |args| {
            args.put(&BatchForgetIn {
                count: count as u32,
                dummy: 0,
            })?;
            batch.iter().take(count).try_for_each(|one| args.put(one))
        })
    }
}

impl Drop for ForgetList {
    fn drop(&mut self) {
        // One by one: a long list must not be dropped by recursion.
        while self.pop().is_some() {}
    }
}
