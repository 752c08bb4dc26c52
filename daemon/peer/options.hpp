// The command line of capsul-peer.
#pragma once

#include "lib/vpn.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace capsul::peer {

struct Options {
    enum class Command { sync, invite, check };
    Command command = Command::sync;
    std::filesystem::path folder; ///< peer/ of the network
    // sync, check
    std::filesystem::path identity;
    VpnAddress listen; ///< check: where sync does
    // sync
    std::filesystem::path status;
    std::chrono::seconds interval{30};
    // invite
    std::filesystem::path hosts; ///< tinc/hosts/ of the network
    std::filesystem::path invitation;
    // check
    std::filesystem::path result;
};

inline constexpr const char* usage =
    "usage: capsul-peer sync --folder FOLDER --identity FILE --listen ADDRESS:PORT --status FILE\n"
    "                        [--interval SECONDS]\n"
    "       capsul-peer invite --folder FOLDER --hosts FOLDER --invitation FILE\n"
    "       capsul-peer check --folder FOLDER --identity FILE --listen ADDRESS:PORT --result FILE\n";

/// Throws std::invalid_argument.
[[nodiscard]] Options parse_options(const std::vector<std::string>& words);

} // namespace capsul::peer
