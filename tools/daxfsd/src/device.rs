// SPDX-License-Identifier: GPL-2.0

//! The vhost-user side: features, configuration space, the window's size, and one thread per queue that takes requests
//! from it. QEMU's messages arrive on a thread of their own and must never wait for something that needs QEMU.

use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::sync::{Arc, RwLock, Weak};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserShMemConfig};
use vhost::vhost_user::{Backend, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringRwLock, VringT};
use virtio_bindings::bindings::virtio_config::{VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_VERSION_1};
use virtio_bindings::bindings::virtio_ring::{
    VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC,
};
use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{
    GuestAddressSpace, GuestMemoryAtomic, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    new_event_consumer_and_notifier, EventConsumer, EventFlag, EventNotifier,
};

use crate::fs::Server;
use crate::gate::Gate;
use crate::script::Script;
use crate::sg::{Chain, Memory};

/// Bytes of the tag in the configuration space.
pub const TAG_LEN: usize = 36;
/// Largest queue that QEMU may ask for.
const MAX_QUEUE_SIZE: usize = 1024;

type GuestMemory = GuestMemoryAtomic<GuestMemoryMmap<()>>;
pub type Vring = VringRwLock<GuestMemory>;

/// The device. Everything in it is shared between the threads of the queues.
pub struct Device {
    me: Weak<Device>,
    pub server: Arc<Server>,
    pub script: Arc<Script>,
    pub gates: Vec<Gate>,
    shmid: u8,
    access_platform: bool,
    config: [u8; TAG_LEN + 4],
    memory: RwLock<Option<Memory>>,
}

impl Device {
    /// A device with `queues` request queues.
    pub fn new(
        server: Arc<Server>,
        script: Arc<Script>,
        tag: &str,
        queues: u32,
        shmid: u8,
        access_platform: bool,
    ) -> Arc<Self> {
        let mut config = [0; TAG_LEN + 4];
        config[..tag.len()].copy_from_slice(tag.as_bytes());
        config[TAG_LEN..].copy_from_slice(&queues.to_le_bytes());
        let gates = (0..=queues).map(|_| Gate::default()).collect();
        Arc::new_cyclic(|me| Device {
            me: me.clone(),
            server,
            script,
            gates,
            shmid,
            access_platform,
            config,
            memory: RwLock::new(None),
        })
    }

    /// A reference that a thread can keep.
    pub fn shared(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// Takes the next request from a queue.
    fn pop(&self, queue: usize, vring: &Vring) -> Option<(Chain, u64)> {
        let mem = self
            .memory
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .clone()?;
        let mut state = vring.get_mut();
        let generation = self.gates[queue].generation();
        if !state.get_queue().ready() {
            return None;
        }
        let chain = match state.get_queue_mut().iter(mem.clone()) {
            Ok(mut chains) => chains.next()?,
            Err(e) => {
                log::error!("queue {queue} is broken: {e}");
                return None;
            }
        };
        Some((Chain::new(mem, chain), generation))
    }

    /// Gives a descriptor chain back to the driver.
    pub fn give_back(&self, vring: &Vring, head: u16, used: u32) {
        let mut state = vring.get_mut();
        let done = state
            .add_used(head, used)
            .and_then(|()| state.needs_notification());
        match done {
            Ok(true) => {
                if let Err(e) = state.signal_used_queue() {
                    log::error!("cannot raise the interrupt of a queue: {e}");
                }
            }
            Ok(false) => (),
            Err(e) => log::error!("cannot give a descriptor back: {e}"),
        }
    }
}

impl VhostUserBackend for Device {
    type Bitmap = ();
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        self.gates.len()
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
            | u64::from(self.access_platform) << VIRTIO_F_ACCESS_PLATFORM
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        let mut features = VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::BACKEND_REQ
            | VhostUserProtocolFeatures::BACKEND_SEND_FD;
        if self.server.window.size() > 0 {
            // Not CONFIGURE_MEM_SLOTS: with it QEMU tells every mapping back to us, slows down and aborts at 512.
            features |= VhostUserProtocolFeatures::SHMEM;
        }
        features
    }

    fn acked_features(&self, _features: u64) {
        self.server.window.start();
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The queues themselves keep track of it.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let byte = |at: usize| self.config.get(at).copied().unwrap_or(0);
        (0..size as usize)
            .map(|i| byte(offset as usize + i))
            .collect()
    }

    fn update_memory(&self, mem: GuestMemory) -> io::Result<()> {
        // QEMU lists mappings in the window among the guest's memory, as long as it has room for
        // them. Past the end of such a file an access would kill us, and when the room is used up
        // the list grows stale: so they are no memory for us, wherever they are used.
        let all: Memory = mem.memory().into_inner();
        let mut ram = all.deref().clone();
        for region in all.iter() {
            let file = region.file_offset().map(|f| f.file().as_raw_fd());
            if file.is_some_and(|fd| self.server.window.has_mapped(fd)) {
                let removed = ram.remove_region(region.start_addr(), region.len());
                ram = removed.map_err(io::Error::other)?.0;
            }
        }
        match mem.lock() {
            Ok(guard) => guard.replace(ram),
            Err(e) => e.into_inner().replace(ram),
        }
        *self.memory.write().unwrap_or_else(|e| e.into_inner()) = Some(mem.memory().into_inner());
        Ok(())
    }

    fn set_backend_req_fd(&self, backend: Backend) {
        self.server.window.set_backend(Some(backend));
    }

    fn get_shmem_config(&self) -> io::Result<VhostUserShMemConfig> {
        let mut sizes = [0; 256];
        sizes[self.shmid as usize] = self.server.window.size();
        Ok(VhostUserShMemConfig::new(
            (self.server.window.size() > 0) as u32,
            &sizes,
        ))
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        (0..self.gates.len()).map(|q| 1 << q).collect()
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        // Without one the threads of the queues outlive the connection, and its end waits for them.
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn stop_vring(&self, queue: u32) -> io::Result<()> {
        self.server.window.stop();
        if let Some(gate) = self.gates.get(queue as usize) {
            gate.stop();
        }
        Ok(())
    }

    fn handle_event(
        &self,
        event: u16,
        _: EventSet,
        vrings: &[Vring],
        queue: usize,
    ) -> io::Result<()> {
        let Some(vring) = vrings.get(event as usize) else {
            return Ok(());
        };
        loop {
            if let Err(e) = vring.disable_notification() {
                log::error!("queue {queue}: {e}");
            }
            while let Some((chain, generation)) = self.pop(queue, vring) {
                self.take(queue, vring, chain, generation);
            }
            // True if more requests have come in before notifications were on again.
            let ready = vring.get_ref().get_queue().ready();
            match ready.then(|| vring.enable_notification()) {
                Some(Ok(true)) => continue,
                _ => return Ok(()),
            }
        }
    }
}
