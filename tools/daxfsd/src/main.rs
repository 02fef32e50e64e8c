// SPDX-License-Identifier: GPL-2.0

//! daxfsd: shares a folder of the host with a guest as a vhost-user virtio-fs device with a DAX window, for stock QEMU.
//!
//! `device` talks to QEMU and takes requests from the queues, `request` sees each through, `fs` is the file server and
//! `dax` the window. `control`, `counters` and `script` are for tests and the curious.

mod control;
mod counters;
mod creds;
mod dax;
mod device;
mod fs;
mod gate;
mod glob;
mod proto;
mod request;
mod script;
mod sg;
mod sys;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{bail, ensure, Context, Result};
use clap::Parser;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

/// Shares a folder with a guest: a vhost-user virtio-fs device with a DAX window.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// Where QEMU connects to
    #[arg(long)]
    socket: PathBuf,

    /// The folder to share
    #[arg(long)]
    shared_dir: PathBuf,

    /// The name under which the guest mounts it, at most 36 bytes
    #[arg(long)]
    tag: String,

    /// Size of the DAX window, a power of two; 0 for a device without one
    #[arg(long, default_value = "256M", value_parser = size)]
    window: u64,

    /// Number of request queues; QEMU's num_vqs is one more
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=63))]
    queues: u32,

    /// How much the guest may cache
    #[arg(long, default_value = "auto")]
    cache: fs::Cache,

    /// Which files get FUSE_ATTR_DAX (for dax=inode in the guest): all, none, or a pattern like *.db
    #[arg(long, default_value = "all")]
    dax_files: glob::Files,

    /// log2 of the alignment that DAX mappings need
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(12..=62))]
    map_alignment: u16,

    /// Id of the shared memory region; drivers look for 0, anything else is for tests
    #[arg(long, default_value_t = 0)]
    shmid: u8,

    /// Refuse to map a slot of the window anew that was not given back
    #[arg(long, require_equals = true, num_args = 0..=1, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    strict_slots: bool,

    /// Offer VIRTIO_F_ACCESS_PLATFORM: drivers use the DMA API then
    #[arg(long)]
    access_platform: bool,

    /// INIT flags to offer beyond the usual, for instance HANDLE_KILLPRIV_V2,POSIX_ACL
    #[arg(long, value_delimiter = ',', value_parser = init_flag)]
    enable: Vec<u64>,

    /// INIT flags to hold back, for instance DO_READDIRPLUS
    #[arg(long, value_delimiter = ',', value_parser = init_flag)]
    disable: Vec<u64>,

    /// Socket for commands: counters, mappings, faults (say `help` there)
    #[arg(long)]
    control: Option<PathBuf>,

    /// Serve the next QEMU when one has gone
    #[arg(long)]
    keep: bool,
}

/// A size in bytes, with K, M or G.
fn size(s: &str) -> Result<u64, String> {
    let (digits, shift) = match s.char_indices().last() {
        Some((at, 'K' | 'k')) => (&s[..at], 10),
        Some((at, 'M' | 'm')) => (&s[..at], 20),
        Some((at, 'G' | 'g')) => (&s[..at], 30),
        _ => (s, 0),
    };
    let n: u64 = digits
        .parse()
        .map_err(|_| "a size is a number, then K, M or G".to_string())?;
    n.checked_mul(1 << shift).ok_or_else(|| "too large".into())
}

fn init_flag(s: &str) -> Result<u64, String> {
    proto::init_flag_by_name(s).ok_or_else(|| "no such INIT flag".into())
}

fn serve(args: &Args) -> Result<()> {
    ensure!(
        args.tag.len() <= device::TAG_LEN,
        "the tag has {} bytes, but a device has room for {}: choose a shorter one",
        args.tag.len(),
        device::TAG_LEN
    );
    if args.window != 0 && !args.window.is_power_of_two() {
        bail!(
            "a window of {} bytes makes QEMU abort: choose a power of two, or 0 for none",
            args.window
        );
    }
    let counters = Arc::new(counters::Counters::new());
    let align = 1u64 << args.map_alignment;
    let window = dax::Window::new(
        args.window,
        args.shmid,
        align,
        args.strict_slots,
        counters.clone(),
    );
    let config = fs::Config {
        cache: args.cache,
        enable: args.enable.iter().fold(0, |a, f| a | f),
        disable: args.disable.iter().fold(0, |a, f| a | f),
        fopen: 0,
        map_alignment: args.map_alignment,
        background: (64, 48),
    };
    let server = fs::Server::new(
        &args.shared_dir,
        config,
        window,
        args.dax_files.clone(),
        counters,
    )
    .map_err(|e| std::io::Error::from_raw_os_error(e.0))
    .with_context(|| format!("cannot share the folder {}", args.shared_dir.display()))?;
    let server = Arc::new(server);
    let script = Arc::new(script::Script::default());
    if let Some(path) = &args.control {
        control::Control {
            server: server.clone(),
            script: script.clone(),
        }
        .listen(path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    }
    loop {
        let device = device::Device::new(
            server.clone(),
            script.clone(),
            &args.tag,
            args.queues,
            args.shmid,
            args.access_platform,
        );
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let mut daemon = VhostUserDaemon::new("vhost-user".into(), device, memory)
            .map_err(|e| anyhow::anyhow!("cannot start the device: {e}"))?;
        log::info!(
            "sharing {} as {:?} on {}",
            args.shared_dir.display(),
            args.tag,
            args.socket.display()
        );
        let ended = daemon.serve(&args.socket);
        // QEMU is gone, and with it the guest and all that was mapped.
        server.window.forget_all();
        server.reset(false);
        match ended {
            Ok(()) => log::info!("QEMU has disconnected"),
            Err(e) if args.keep => log::error!("connection lost: {e}"),
            Err(e) => bail!("cannot serve {}: {e}", args.socket.display()),
        }
        if !args.keep {
            return Ok(());
        }
    }
}

fn main() -> ExitCode {
    let start = std::time::Instant::now();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format(move |buf, rec| {
            let t = start.elapsed();
            writeln!(
                buf,
                "[{:>5}.{:06}] {}: {}",
                t.as_secs(),
                t.subsec_micros(),
                rec.level(),
                rec.args()
            )
        })
        .init();
    let args = Args::parse();
    sys::own_umask();
    let files = sys::raise_nofile();
    log::debug!("up to {files} open files");
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("daxfsd: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("256M"), Ok(256 << 20));
        assert_eq!(size("64g"), Ok(64 << 30));
        assert!(size("M").is_err() && size("1T").is_err() && size("99999999999G").is_err());
    }

    #[test]
    fn command_line() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        let args = Args::parse_from([
            "daxfsd",
            "--socket",
            "s",
            "--shared-dir",
            "d",
            "--tag",
            "",
            "--enable",
            "POSIX_ACL,dont_mask",
        ]);
        assert_eq!(
            args.enable,
            [proto::init::POSIX_ACL, proto::init::DONT_MASK]
        );
    }
}
