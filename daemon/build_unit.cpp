#include "daemon/build_unit.hpp"

#include "daemon/unit_file.hpp"

#include <fmt/format.h>
#include <vector>

namespace capsul {
namespace {

constexpr std::string_view prefix = "capsul-build-";
constexpr std::string_view suffix = ".service";
constexpr std::uint64_t room = std::uint64_t{1} << 30U; ///< for what is larger than the disk

// There is no sandbox here. newuidmap has its privilege from its set-uid bit, which NoNewPrivileges= takes
// away; a user's manager sets that with each filter on system calls (SystemCallFilter=,
// RestrictAddressFamilies= and so on). PrivateUsers= takes it away too, since root is not in such a
// namespace, and without it this systemd (252) ignores PrivateTmp=, ProtectHome= and the like for a user's
// unit.
//
// What protects instead: all that comes from the mirror, packages' scripts too, is handled by processes of
// the user's subordinate ids in a user, mount and pid namespace of their own (mmdebstrap --mode=unshare). To
// the user's files and sockets they are strangers, of what they leave no link is followed, and apt takes only
// packages that Debian has signed. They have the host's network.
constexpr std::string_view common = R"(TimeoutStopSec=20s
KillMode=control-group
UMask=0077

# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=8192
LimitFSIZE={file}
MemoryMax=2G
MemorySwapMax=0
TasksMax=512
KeyringMode=private
# VMs come first.
CPUWeight=20
Nice=10
OOMPolicy=stop
OOMScoreAdjust=300
)";

std::vector<std::string> builder(const BuildPlace& place) {
    return {(place.programs / "capsul-build").string()};
}

std::vector<std::string> build_command(const BuildPlace& place, const ImageBuild& call) {
    std::vector<std::string> argv = builder(place);
    argv.insert(argv.end(),
                {"build", "--output", place.output.string(), "--scratch", place.scratch.string(), "--boot",
                 std::string(to_string(call.boot)), "--size", std::to_string(call.size.count()), "--release",
                 std::string(to_string(call.release)), "--mirror", call.mirror.to_string(),
                 "--security-mirror", call.security_mirror.to_string()});
    for (const PackageName& package : call.include) {
        argv.push_back(package.to_string());
    }
    return argv;
}

std::vector<std::string> removal_command(const BuildPlace& place) {
    std::vector<std::string> argv = builder(place);
    argv.insert(argv.end(), {"remove", place.scratch.string()});
    return argv;
}

} // namespace

std::string build_unit_name(const Uuid& id) {
    return fmt::format("{}{}{}", prefix, id.to_string(), suffix);
}

std::optional<Uuid> build_of_unit(std::string_view unit) {
    if (!unit.starts_with(prefix) || !unit.ends_with(suffix) || unit.size() < prefix.size() + suffix.size()) {
        return std::nullopt;
    }
    unit.remove_prefix(prefix.size());
    unit.remove_suffix(suffix.size());
    try {
        return Uuid::parse(unit);
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::string build_unit(const BuildPlace& place, const ImageBuild& call) {
    std::string text = fmt::format(
        R"(# Builds the image {name}, written by capsul. It is there only for as long.
[Unit]
Description=Build of image {name}
Documentation=man:capsulctl-image(1)

[Service]
Type=oneshot
ExecStart={start}
# However it ends, and without capsuld too.
ExecStopPost={remove}
TimeoutStartSec={limit}s
StandardOutput=append:{log}
StandardError=append:{log}
)",
        fmt::arg("name", call.name.to_string()),
        fmt::arg("start", quote_exec_line(build_command(place, call))),
        fmt::arg("remove", quote_exec_line(removal_command(place))),
        fmt::arg("limit", std::chrono::seconds(build_limit).count()), fmt::arg("log", unit_path(place.log)));
    text += fmt::format(common, fmt::arg("file", call.size.count() + room));
    return seal(std::move(text));
}

std::string build_removal_unit(const BuildPlace& place) {
    std::string text =
        fmt::format(R"(# Removes what is left of a build, written by capsul. It is there only for as long.
[Unit]
Description=Clear up after the build of an image
Documentation=man:capsulctl-image(1)

[Service]
Type=oneshot
ExecStart={remove}
TimeoutStartSec=120s
)",
                    fmt::arg("remove", quote_exec_line(removal_command(place))));
    text += fmt::format(common, fmt::arg("file", room));
    return seal(std::move(text));
}

} // namespace capsul
