// capsuld: wiring only.
#include "daemon/catalogue/source.hpp"
#include "daemon/routes.hpp"
#include "daemon/server.hpp"

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

constexpr const char* help = R"(capsuld - runs virtual machines as systemd user units of one user

usage: capsuld [--check-config] [--version] [--help]

Started by systemd on the first call to its socket:
  systemctl --user enable --now capsuld.socket

See capsuld(8) and capsuld.toml(5).
)";

/// SIGTERM and SIGINT, taken by one thread; every other thread has them blocked.
class Signals {
  public:
    Signals() {
        sigemptyset(&set_);
        sigaddset(&set_, SIGTERM);
        sigaddset(&set_, SIGINT);
        sigaddset(&set_, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &set_, nullptr);
        std::signal(SIGPIPE, SIG_IGN);
    }
    /// Waits for one; SIGUSR1 is our own "no more".
    [[nodiscard]] bool wait_for_stop() const {
        int signal = 0;
        return sigwait(&set_, &signal) == 0 && signal != SIGUSR1;
    }

  private:
    sigset_t set_{};
};

std::vector<UniqueFd> listeners(const Paths& paths) {
    std::vector<UniqueFd> sockets;
    const int count = sd_listen_fds(1);
    for (int i = 0; i < count; ++i) {
        sockets.emplace_back(SD_LISTEN_FDS_START + i);
    }
    if (sockets.empty()) {
        make_folders(paths.socket().parent_path());
        sockets.push_back(listen_unix(paths.socket()));
    }
    return sockets;
}

/// While the result lives no other capsuld works on the same folders: one would sweep away what the other is
/// making.
UniqueFd claim_folders(const Paths& paths) {
    make_folders(paths.data);
    UniqueFd folder = open_file(paths.data, O_RDONLY | O_DIRECTORY);
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
        throw Error(ErrorCode::in_use, paths.data.string() + ": another capsuld looks after it",
                    "systemctl --user status capsuld");
    }
    return folder;
}

/// Half of what systemd asks for (sd_watchdog_enabled(3)); a long time without a watchdog.
std::chrono::milliseconds watchdog_interval() {
    std::uint64_t microseconds = 0;
    if (sd_watchdog_enabled(0, &microseconds) > 0) {
        return std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::microseconds(microseconds / 2));
    }
    return std::chrono::minutes(1);
}

void log_event(const std::string& type, const std::string& target) {
    const char* const field = type.starts_with("vm.") ? "CAPSUL_VM=%s" : "CAPSUL_TARGET=%s";
    sd_journal_send("MESSAGE=%s %s", type.c_str(), target.c_str(), "PRIORITY=6", field, target.c_str(),
                    "CAPSUL_EVENT=%s", type.c_str(), nullptr);
}

/// What fails is told, and tried again the next time.
void try_to(const char* what, const std::function<void()>& work) {
    try {
        work();
    } catch (const std::exception& error) {
        sd_journal_print(4, "%s: %s", what, error.what());
    }
}

/// Every half minute, until told to stop: serial logs are kept short, and what nobody has fetched or read
/// goes.
void tidy_up(VmGuest& guest, const ImageService& images, const Fetcher& fetcher, const ImageBuilder& builder,
             const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (true) {
        never.wait_for(lock, stop, std::chrono::seconds(30), [] { return false; });
        if (stop.stop_requested()) {
            return;
        }
        try_to("guests at rest", [&] { guest.thaw_left(); });
        try_to("serial logs", [&] { guest.trim_serial_logs(); });
        try_to("images", [&] { images.expire(); });
        try_to("downloads", [&] { fetcher.expire(); });
        try_to("logs of builds", [&] { builder.expire(); });
    }
}

/// Ends all work while everything that it uses is still there.
class WorkEnds {
  public:
    explicit WorkEnds(OperationService& operations) : operations_(operations) {}
    WorkEnds(const WorkEnds&) = delete;
    WorkEnds& operator=(const WorkEnds&) = delete;
    ~WorkEnds() { operations_.stop(); } // NOLINT(bugprone-exception-escape): only when memory has run out

  private:
    OperationService& operations_;
};

void serve(const Paths& paths, const Config& config, const Signals& signals) {
    const UniqueFd claim = claim_folders(paths);
    Store store(paths);
    EventLog events(paths.state, log_event);
    OperationService operations;
    const fs::path programs = fs::read_symlink("/proc/self/exe").parent_path();
    VmMonitors monitors(paths, events);
    SystemdClient systemd(paths.systemd_socket(), "capsul-vm-*.service", [&](const UnitStatus& unit) {
        if (const auto name = vm_of_unit(unit.name)) {
            monitors.unit_changed(*name, unit.active_state);
        }
    });
    const SandboxedTool tool(paths, programs, systemd);
    ImageService images(paths, config.image, tool, store, operations, events);
    const Fetcher fetcher(paths, programs, systemd);
    const ImageCatalogue catalogue(paths, config.image, fetcher);
    ImagePullService pulls(config.image, store, operations, images, catalogue, fetcher);
    const ImageBuilder builder(paths, programs, systemd);
    ImageBuildService builds(config.image, operations, images, builder);
    NetworkService networks(paths, config.vpn, programs, store, operations, events, systemd);
    VmHost host{paths,      config, programs, store,    images, networks,
                operations, events, systemd,  monitors, tool};
    VmView view(host);
    VmPower power(host, view);
    VmGuest guest(host, view);
    VmService vms(host, view, power);
    VmDisks disks(host, view, power, guest);
    VmSnapshots snapshots(host, power, guest);
    const DiskCleaner cleaner(paths, tool);
    ImagePublishService publishing(host, power, tool, cleaner);
    VmBackups backups(host, power, guest);
    HostService machine(paths, systemd, networks);
    const WorkEnds work_ends(operations);

    UserUnits(paths).sweep();
    images.sweep();
    fetcher.sweep();
    builder.sweep();
    networks.sweep();
    vms.recover();
    disks.recover();
    snapshots.recover();
    backups.recover();
    guest.thaw_left();
    networks.follow_records();
    const Router router = make_router(
        {host, view, power, guest, vms, disks, snapshots, backups, machine, pulls, builds, publishing});
    Server server(router, config.server, listeners(paths), ::geteuid());
    std::jthread stopper([&] {
        if (signals.wait_for_stop()) {
            sd_notify(0, "STOPPING=1");
            server.stop();
        }
    });
    std::jthread listener([&networks](const std::stop_token& stop) {
        const std::stop_callback end(stop, [&networks] { networks.stop_hearing(); });
        networks.hear();
    });
    std::jthread tidier([&](const std::stop_token& stop) { tidy_up(guest, images, fetcher, builder, stop); });
    sd_notify(0, "READY=1");
    server.run(watchdog_interval(), [] { sd_notify(0, "WATCHDOG=1"); });
    ::pthread_kill(stopper.native_handle(), SIGUSR1);
}

int run(int argc, char** argv) {
    const std::string_view option = argc > 1 ? argv[1] : "";
    if (option == "--help" || option == "-h") {
        std::fputs(help, stdout);
        return 0;
    }
    if (option == "--version") {
        std::puts("capsuld " CAPSUL_VERSION);
        return 0;
    }
    if (option == "--probe-kvm") {
        const KvmFinding kvm = probe_kvm();
        std::fputs(kvm.reason.c_str(), stdout);
        return kvm.works ? 0 : 1;
    }
    if (!option.empty() && option != "--check-config") {
        throw Error(ErrorCode::invalid, fmt::format("unknown argument '{}'", option), "see `capsuld --help`");
    }
    const Paths paths = Paths::from_environment();
    const Config config = load_config(paths);
    // Now rather than when somebody looks for an image.
    static_cast<void>(image_sources(config.image, [](const std::string& path) {
        std::error_code error;
        return fs::exists(path, error);
    }));
    if (option == "--check-config") {
        return 0;
    }
    const Signals signals;
    ::umask(077);
    make_folders(paths.state);
    serve(paths, config, signals);
    return 0;
}

} // namespace
} // namespace capsul

int main(int argc, char** argv) {
    try {
        return capsul::run(argc, argv);
    } catch (const capsul::Error& error) {
        std::fprintf(stderr, "capsuld: %s\n", error.what());
        if (!error.hint().empty()) {
            std::fprintf(stderr, "hint: %s\n", error.hint().c_str());
        }
        return capsul::exit_code(error.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsuld: %s\n", error.what());
        return 125;
    }
}
