#include "daemon/peer/peer_folder.hpp"

#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <chrono>
#include <system_error>
#include <vector>

namespace capsul::peer {

namespace fs = std::filesystem;

std::string PeerFolder::own_text() const {
    return read_file(folder_ / "bundle.json", most_bundle_bytes);
}

VpnBundle PeerFolder::own() const {
    return parse<VpnBundle>(own_text()); // capsuld has checked it
}

fs::path PeerFolder::inbox_file(const std::string& name) const {
    return folder_ / "inbox" / (name + ".json");
}

/// What is younger may still be written, by the invitation's process or this one.
void PeerFolder::sweep() const {
    const auto youngest = fs::file_time_type::clock::now() - std::chrono::minutes(1);
    std::vector<fs::path> left;
    for (const auto& entry : fs::directory_iterator(folder_ / "inbox")) {
        if (entry.path().filename().string().starts_with('.') && entry.last_write_time() < youngest) {
            left.push_back(entry.path());
        }
    }
    std::error_code gone;
    for (const fs::path& file : left) {
        fs::remove(file, gone);
    }
}

void PeerFolder::keep(const std::string& name, std::string_view text) {
    const std::lock_guard lock(mutex_);
    replace_file(inbox_file(name), text);
}

} // namespace capsul::peer
