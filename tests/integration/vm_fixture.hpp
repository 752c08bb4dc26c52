// All of capsuld but its socket, over a fake systemd that really runs units, for tests of the VM noun.
#pragma once

#include "daemon/process.hpp"
#include "daemon/routes.hpp"
#include "daemon/unit_file.hpp"
#include "lib/fd.hpp"
#include "tests/integration/fake_launcher.hpp"
#include "tests/integration/fake_systemd.hpp"
#include "tests/integration/own_ports.hpp"
#include "tests/temporary_folder.hpp"

#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <poll.h>
#include <thread>
#include <unistd.h>

namespace capsul {

using namespace std::chrono_literals;

/// A capsul-run where there are no TAPs: the guest's cards lead nowhere.
constexpr const char* launcher_without_taps = R"(#!/bin/bash
until [ "$1" = -- ]; do shift; done
shift
sed 's/type = "tap"/type = "user"/; /fd =\|vhost =/d' "${@: -1}" >"$XDG_RUNTIME_DIR/test.conf"
exec "${@:1:$#-1}" "$XDG_RUNTIME_DIR/test.conf"
)";

/// capsul's own programs.
inline void make_programs(const fs::path& folder) {
    make_launcher(folder);
    fs::create_symlink(CAPSUL_POWERDOWN, folder / "capsul-powerdown");
}

inline Paths paths_in(const fs::path& base) {
    Paths paths{base / "data", base / "state", base / "config", base / "units", base / "run"};
    for (const fs::path& folder :
         {paths.state, paths.units, paths.wants(), paths.images(), paths.vms(), paths.runtime / "systemd"}) {
        make_folders(folder);
    }
    make_programs(base / "programs");
    // The probe runs /proc/self/exe, which is this test.
    make_folders(paths.runtime / "capsul");
    replace_file(paths.runtime / "capsul/kvm", "emulated in tests");
    return paths;
}

/// With ten of the ports of this process; the others are for tests.
inline Config config_of_this_process() {
    Config config;
    config.vm.ssh_port_first = test::own_port(0);
    config.vm.ssh_port_last = test::own_port(9);
    return config;
}

/// To port 80 of a guest, from one of those for tests: 11 to 15.
inline PublishedPort own_publish(int which, const std::string& address = "") {
    return PublishedPort::parse(address + std::to_string(test::own_port(which)) + ":80");
}

/// All of capsuld but its socket.
struct Daemon {
    explicit Daemon(const Paths& where)
        : paths(where), store(paths), events(paths.state), monitors(paths, events),
          systemd(paths.systemd_socket(), "capsul-vm-*.service",
                  [this](const UnitStatus& unit) {
                      if (const auto name = vm_of_unit(unit.name)) {
                          monitors.unit_changed(*name, unit.active_state);
                      }
                  }),
          tool(paths, programs, systemd), images(paths, config.image, tool, store, operations, events),
          fetcher(paths, programs, systemd), catalogue(paths, config.image, fetcher),
          pulls(config.image, store, operations, images, catalogue, fetcher),
          builder(paths, programs, systemd, paths.data.parent_path()),
          builds(config.image, operations, images, builder),
          networks(paths, config.vpn, programs, store, operations, events, systemd),
          host{paths, config, programs, store, images, networks, operations, events, systemd, monitors, tool},
          view(host), power(host, view), guest(host, view), vms(host, view, power),
          disks(host, view, power, guest), snapshots(host, power, guest),
          cleaner(
              paths, tool,
              Libguestfs{(programs / "virt-sysprep").string(), (programs / "supermin").string(), {programs}}),
          publishing(host, power, tool, cleaner), backups(host, power, guest),
          machine(paths, systemd, networks),
          router(make_router({host, view, power, guest, vms, disks, snapshots, backups, machine, pulls,
                              builds, publishing})) {}
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;
    ~Daemon() { operations.stop(); } // as in main: work that a test did not wait for needs all of these

    Paths paths;
    fs::path programs = paths.data.parent_path() / "programs";
    Config config = config_of_this_process();
    Store store;
    EventLog events;
    OperationService operations;
    VmMonitors monitors;
    SystemdClient systemd;
    SandboxedTool tool;
    ImageService images;
    Fetcher fetcher;
    ImageCatalogue catalogue;
    ImagePullService pulls;
    ImageBuilder builder;
    ImageBuildService builds;
    NetworkService networks;
    VmHost host;
    VmView view;
    VmPower power;
    VmGuest guest;
    VmService vms;
    VmDisks disks;
    VmSnapshots snapshots;
    DiskCleaner cleaner;
    ImagePublishService publishing;
    VmBackups backups;
    HostService machine;
    Router router;
};

class VmServiceTest : public testing::Test {
  protected:
    VmServiceTest() { add_image("blank"); }

    void add_image(const std::string& name) {
        ImageRecord image;
        image.name = Name::parse(name);
        image.digest = Digest::parse("sha256:" + std::string(64, 'a'));
        image.size = Bytes::parse("64M");
        image.imported = Timestamp::now();
        const auto disk = daemon_->images.disk_path(image.digest);
        if (!fs::exists(disk)) {
            ASSERT_EQ(
                run_process({"qemu-img", "create", "-q", "-f", "qcow2", disk.string(), "64M"}, 10s).status,
                0);
        }
        daemon_->store.images.save(image);
    }

    /// The response to a call, as the router gives it.
    template <Call C>
    Json ask(const C& call) {
        const RequestTarget target = make_target(C::route, encode(call));
        const auto question = target.target.find('?');
        Request request{target.method, target.target.substr(0, question),
                        question == std::string::npos ? "" : target.target.substr(question + 1), target.body};
        return std::get<JsonResponse>(daemon_->router.handle(request)).body;
    }

    /// Follows an operation to its end; throws its error.
    Json finish(const Json& started) {
        StreamResponse stream = daemon_->operations.follow(decode<Operation>(started).id);
        std::string text;
        std::array<char, 4096> chunk{};
        pollfd readable{stream.source.get(), POLLIN, 0};
        while (::poll(&readable, 1, -1) > 0) {
            const ssize_t got = ::read(stream.source.get(), chunk.data(), chunk.size());
            if (got <= 0) {
                break;
            }
            text.append(chunk.data(), static_cast<std::size_t>(got));
        }
        text.pop_back();
        const auto last = parse<Operation>(text.substr(text.rfind('\n') + 1));
        if (last.error) {
            throw last.error->to_error();
        }
        if (!last.result) {
            throw std::runtime_error("the operation ended without a result: " + text);
        }
        return *last.result;
    }

    template <Call C>
    Json run(const C& call) {
        return finish(ask(call));
    }

    /// systemd runs a job some time after it has accepted it. A minute is far more than that takes.
    void wait_for_state(const Name& name, VmState state) {
        const auto end = std::chrono::steady_clock::now() + 60s;
        while (decode<Vm>(ask(VmShow{name})).state != state) {
            ASSERT_LT(std::chrono::steady_clock::now(), end) << "the VM is not " << to_string(state);
            std::this_thread::sleep_for(1ms);
        }
    }

    VmCreate wanted(const std::string& name) const {
        VmCreate call;
        call.name = Name::parse(name);
        call.image = Name::parse("blank");
        call.memory = Bytes::parse("64M");
        return call;
    }

    template <class Work>
    Error refusal(Work work) {
        try {
            work();
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "was accepted";
        return {ErrorCode::internal, ""};
    }

    /// A socket of the VM's, now free for somebody in QEMU's place.
    [[nodiscard]] fs::path socket_of(const Name& name, const char* socket) const {
        const fs::path path = paths_.vm_runtime(name) / socket;
        fs::remove(path);
        return path;
    }

    std::set<std::string> files_of_vms() {
        std::set<std::string> found;
        for (const fs::path& folder :
             {daemon_->paths.vms(), daemon_->paths.units, daemon_->paths.runtime / "capsul/vms"}) {
            std::error_code missing;
            for (const auto& entry : fs::recursive_directory_iterator(folder, missing)) {
                found.insert(entry.path().string());
            }
        }
        found.erase((daemon_->paths.wants()).string());
        return found;
    }

    /// As capsul would leave them, without the cost of doing it a thousand times.
    void define_others(int count) {
        run([&] {
            VmCreate call = wanted("pattern");
            call.start = false;
            return call;
        }());
        const auto pattern = daemon_->store.vms.load(Name::parse("pattern"));
        const std::string unit = read_file(daemon_->host.unit_file(pattern.name));
        for (int i = 0; i < count; ++i) {
            VmRecord other = pattern;
            other.name = Name::parse(fmt::format("other-{}", i));
            other.uuid = Uuid::make();
            other.ssh_port = static_cast<std::uint16_t>(40000 + i);
            make_folders(daemon_->paths.vm(other.name));
            std::ofstream(daemon_->paths.vm(other.name) / "vm.toml") << json_to_toml(encode(other));
            std::ofstream(daemon_->host.unit_file(other.name)) << unit;
            fs::create_symlink(daemon_->host.unit_file(other.name), daemon_->host.wants_link(other.name));
        }
    }

    test::TemporaryFolder folder_;
    Paths paths_ = paths_in(folder_.path());
    test::FakeSystemd systemd_{{paths_.systemd_socket(), paths_.units, paths_.runtime, folder_.path()}};
    std::unique_ptr<Daemon> daemon_ = std::make_unique<Daemon>(paths_);
};

} // namespace capsul
