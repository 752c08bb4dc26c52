#include "daemon/disk_cleaner.hpp"

#include "daemon/own_folder.hpp"
#include "daemon/process.hpp"
#include "daemon/qemu_img.hpp"
#include "daemon/upload_file.hpp"
#include "lib/catalogue.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <thread>

namespace capsul {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;
constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
constexpr const char* cleaning = "cleaning the disk";

// What stands for the identity of a machine, and reports of crashes. No users, histories or keys of users:
// what of these is meant to be in the image is not known. Not "logfiles", which removes more than logs, and
// files that services want to find. "customize" is what does --delete and the like.
constexpr std::array operations{"abrt-data",  "crash-data", "dhcp-client-state", "machine-id",
                                "net-hwaddr", "pacct-log",  "ssh-hostkeys",      "udev-persistent-net",
                                "utmp",       "customize"};

/// What cloud-init and capsul remember of an instance, never an image's own seed; journals, leases; what
/// D-Bus makes anew; and seeds of random numbers, of which "customize" writes one for all who boot the disk.
constexpr std::array remembered{"/var/lib/cloud/instance",
                                "/var/lib/cloud/instances/*",
                                "/var/lib/cloud/data/*",
                                "/var/lib/cloud/sem/*",
                                "/var/lib/capsul/*",
                                "/var/log/journal/*",
                                "/var/lib/dhcpcd/*",
                                "/var/lib/NetworkManager/*.lease*",
                                "/var/lib/NetworkManager/secret_key",
                                "/var/lib/dbus/machine-id",
                                "/var/lib/systemd/random-seed",
                                "/var/lib/random-seed",
                                "/var/lib/misc/random-seed",
                                "/var/lib/urandom/random-seed",
                                "/var/lib/seedrng/*"};

fs::path ingredients(const Libguestfs& libguestfs) {
    const auto found = std::ranges::find_if(libguestfs.supermin_lists, [](const fs::path& folder) {
        std::error_code unknown;
        return fs::is_directory(folder, unknown);
    });
    if (found == libguestfs.supermin_lists.end()) {
        throw Error(ErrorCode::not_capable, "libguestfs has no supermin.d on this host");
    }
    return *found;
}

/// The system that libguestfs boots, in a new folder in `folder`, which it returns. Of this host's own files,
/// so without a sandbox: in one, all that is root's would seem to be nobody's, and be so in that system.
fs::path build_appliance(const Libguestfs& libguestfs, const fs::path& folder) {
    constexpr std::chrono::seconds longest(30); // less than capsuld has to stop
    fs::path appliance = folder / "appliance";
    const ProcessResult made = run_process(
        {"env", "TMPDIR=" + folder.string(), find_program(libguestfs.supermin), "--build", "--copy-kernel",
         "--format", "ext2", "--host-cpu", std::string(to_string(host_architecture())), "-o",
         appliance.string(), ingredients(libguestfs).string()},
        longest);
    if (made.status != 0) {
        throw Error(ErrorCode::not_capable, complaint("supermin", made));
    }
    replace_file(appliance / "README.fixed", "Made by capsul.\n"); // or libguestfs would make another one
    return appliance;
}

fs::path make_appliance(const Libguestfs& libguestfs, const fs::path& folder) {
    constexpr std::uint64_t space = gib / 2;
    check_free_space(folder, space, cleaning);
    try {
        return build_appliance(libguestfs, folder);
    } catch (const Error& error) {
        throw Error(error.code(), std::string("libguestfs's own system cannot be made: ") + error.what(),
                    "this user must be able to read a kernel in /boot; `libguestfs-test-tool` tells more");
    }
}

ToolLimits cleaning_limits(Bytes size) {
    constexpr std::chrono::minutes longest(15); // an emulated guest, and labels for every file of a Fedora
    return {.time = longest,
            .memory_bytes = 4 * gib,
            .cpu_seconds = static_cast<std::uint64_t>(std::chrono::seconds(longest).count()),
            .file_bytes = size.count() + size.count() / 64 + 16 * mib};
}

ToolRun run_of(const std::string& program, const fs::path& disk, const fs::path& appliance, Bytes size,
               Accelerator accelerator) {
    ToolRun run{{program}, {appliance}, {disk}, cleaning_limits(size)};
    const std::vector<std::string> arguments = cleaning_arguments(disk);
    run.argv.insert(run.argv.end(), arguments.begin(), arguments.end());
    run.environment = {system_path, "LC_ALL=C.UTF-8", "LIBGUESTFS_BACKEND=direct",
                       "LIBGUESTFS_PATH=" + appliance.string(), one_arena};
    if (accelerator == Accelerator::kvm) {
        run.writable.emplace_back("/dev/kvm");
    } else {
        run.environment.emplace_back("LIBGUESTFS_BACKEND_SETTINGS=force_tcg");
    }
    run.readable.insert(run.readable.end(), run.writable.begin(), run.writable.end());
    run.children = true;
    return run;
}

} // namespace

// virt-customize, which is in virt-sysprep, gives a machine-id that was emptied a new one, the same for all
// who boot the disk: so it is emptied again. An empty file and not none, which would mean a first boot to
// systemd (machine-id(5)).
std::vector<std::string> cleaning_arguments(const fs::path& disk) {
    std::string list;
    for (const char* const operation : operations) {
        list += (list.empty() ? "" : ",") + std::string(operation);
    }
    std::vector<std::string> arguments{"--quiet",     "--format",     "qcow2",        "--add",
                                       disk.string(), "--no-network", "--operations", list};
    for (const char* const path : remembered) {
        arguments.insert(arguments.end(), {"--delete", path});
    }
    arguments.insert(arguments.end(), {"--truncate-recursive", "/var/log", "--write", "/etc/machine-id:"});
    return arguments;
}

// It warns before it fails, and after its error it says how to report one.
std::string cleaning_complaint(const ProcessResult& result) {
    constexpr std::string_view word = "error: ";
    const std::size_t found = result.err.find(word);
    return found == std::string::npos ? complaint("virt-sysprep", result)
                                      : first_line(std::string_view(result.err).substr(found + word.size()));
}

// Of a file system that it cannot mount it only warns.
std::optional<std::string> left_out(const ProcessResult& result) {
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);) {
        if (line.find("mount") != std::string::npos && line.ends_with("(ignored)")) {
            return first_line(line);
        }
    }
    return std::nullopt;
}

bool DiskCleaner::is_installed() const {
    try {
        return !find_program(libguestfs_.virt_sysprep).empty();
    } catch (const Error&) {
        return false;
    }
}

/// One at a time: each takes the memory and the disk of a machine.
std::unique_lock<std::mutex> DiskCleaner::take_turn(const SandboxedTool::Cancelled& cancelled) const {
    std::unique_lock turn(one_at_a_time_, std::defer_lock);
    while (!turn.try_lock()) { // not for a time: ThreadSanitizer of g++ 12 does not know that
        if (cancelled && cancelled()) {
            throw Error(ErrorCode::unreachable, "capsuld is stopping");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return turn;
}

void DiskCleaner::clean(const fs::path& disk, Bytes size, Accelerator accelerator,
                        const SandboxedTool::Cancelled& cancelled) const {
    const auto turn = take_turn(cancelled);
    const OwnFolder work(paths_.builds() / Uuid::make().to_string());
    const fs::path appliance = make_appliance(libguestfs_, work.path());
    const auto is_to_end = [&] {
        constexpr std::uint64_t between_two_looks = 64 * mib;
        for (const fs::path& folder : {disk.parent_path(), fs::path("/tmp"), fs::path("/var/tmp")}) {
            check_free_space(folder, between_two_looks, cleaning);
        }
        return cancelled && cancelled();
    };
    const ProcessResult result = tool_.run(
        run_of(find_program(libguestfs_.virt_sysprep), disk, appliance, size, accelerator), {}, is_to_end);
    if (result.status != 0) {
        throw Error(ErrorCode::not_capable, cleaning_complaint(result), "`libguestfs-test-tool` tells more");
    }
    if (const auto line = left_out(result)) {
        throw Error(ErrorCode::not_capable, *line);
    }
}

} // namespace capsul
