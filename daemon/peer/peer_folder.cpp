#include "daemon/peer/peer_folder.hpp"

#include "lib/fd.hpp"
#include "lib/json.hpp"

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

void PeerFolder::keep(const std::string& name, std::string_view text) {
    const std::lock_guard lock(mutex_);
    const fs::path file = inbox_file(name);
    if (!fs::exists(file) || read_file(file, most_bundle_bytes) != text) {
        replace_file(file, text);
    }
}

} // namespace capsul::peer
