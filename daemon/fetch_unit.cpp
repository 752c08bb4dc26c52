#include "daemon/fetch_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <vector>

namespace capsul {
namespace {

namespace fs = std::filesystem;

/// Of this host, that a request names.
using Readable = std::set<fs::path>;

void add(Readable& readable, const Url& url) {
    if (url.is_file()) {
        readable.insert(url.file());
    }
}

void add(Readable& readable, const std::optional<DetachedSignature>& signature) {
    if (signature) {
        add(readable, signature->url);
        readable.insert(signature->keyring.path());
    }
}

// A page cache of its own is all that is large in it; xz wants 64 MiB, and at most as much as its header
// says.
constexpr std::string_view limits = R"(UMask=0077

# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=1024
MemoryMax=512M
MemorySwapMax=0
TasksMax=64
# VMs come first.
CPUWeight=20
Nice=10
OOMPolicy=stop
OOMScoreAdjust=300
)";

/// capsul's own folder, and those of what may be mounted of which something is to be seen.
std::vector<fs::path> emptied(const FetchPlace& place, const Readable& readable) {
    std::vector<fs::path> folders{place.data};
    for (const std::string mounted : {"/srv", "/mnt", "/media"}) {
        const auto is_inside = [&](const fs::path& path) { return path.native().starts_with(mounted + "/"); };
        if (std::ranges::any_of(readable, is_inside)) {
            folders.emplace_back(mounted);
        }
    }
    return folders;
}

std::string sandbox(const FetchPlace& place, const Readable& readable) {
    std::string text = sandbox_lines();
    text += "MemoryDenyWriteExecute=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n";
    text += disk_lines(place.programs, emptied(place, readable));
    text += "BindReadOnlyPaths=-/run/systemd/resolve -/run/resolvconf -/run/NetworkManager/resolv.conf\n";
    for (const fs::path& path : readable) {
        text += fmt::format("BindReadOnlyPaths={}\n", optional_bind_word(path));
    }
    text += fmt::format("BindPaths={0}\nNoExecPaths={0}\n", unit_path(place.folder));
    return text;
}

std::string unit(const FetchPlace& place, const char* command, std::chrono::seconds limit,
                 const Readable& readable) {
    const std::vector<std::string> start{(place.programs / "capsul-fetch").string(), command, "--folder",
                                         place.folder.string()};
    std::string text = fmt::format(
        R"(# Downloads what {folder}/request.json asks for, written by capsul.
[Unit]
Description=Download {id}
Documentation=man:capsulctl-image(1)
# Nothing starts it but what somebody asks capsuld for.
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={start}
TimeoutStartSec={limit}s
TimeoutStopSec=10s
SyslogIdentifier=capsul-fetch-{id}
)",
        fmt::arg("folder", place.folder.string()), fmt::arg("id", place.id.to_string()),
        fmt::arg("start", quote_exec_line(start)), fmt::arg("limit", limit.count()));
    text += limits;
    text += sandbox(place, readable);
    return seal(std::move(text));
}

} // namespace

std::string fetch_unit_name(const Name& id) {
    return "capsul-fetch-" + id.to_string() + ".service";
}

std::string fetch_unit(const FetchPlace& place, const DiskRequest& request) {
    Readable readable;
    add(readable, request.url);
    add(readable, request.signature);
    return unit(place, "disk", disk_fetch_limit, readable);
}

std::string fetch_unit(const FetchPlace& place, const CatalogueRequest& request) {
    Readable readable;
    for (const ImageSource& source : request.sources) {
        if (source.url.is_file()) {
            readable.insert(source.url.file()); // a folder, but of an index
        }
        if (source.url.is_file() && source.signature && !source.signature->is_clearsigned()) {
            readable.insert(source.url.with_suffix(source.signature->to_string()).file());
        }
        if (source.keyring) {
            readable.insert(source.keyring->to_string());
        }
    }
    return unit(place, "catalogue", catalogue_fetch_limit, readable);
}

} // namespace capsul
