// The systemd units of capsul-peer: what tells a VPN's hosts of changes, what takes in a host that joins by
// an invitation, and what tries how well others are reached. Pure.
#pragma once

#include "lib/network.hpp"

#include <chrono>
#include <filesystem>
#include <string>

namespace capsul {

/// Where capsul-peer says which hosts answer (SyncStatus); `runtime` is $XDG_RUNTIME_DIR.
[[nodiscard]] std::filesystem::path peer_status_file(const std::filesystem::path& runtime,
                                                     const Name& network);

/// The file of the invitation that is open, if there is one; `folder` is the network's. Its own folder holds
/// nothing else, and is there before the unit starts.
[[nodiscard]] std::filesystem::path invitation_file(const std::filesystem::path& folder);

/// What is found by trying how well other hosts are reached (PeerFindings); its own folder holds nothing
/// else, and is there before the unit starts.
[[nodiscard]] std::filesystem::path findings_file(const std::filesystem::path& folder);

/// "capsul-check-NAME.service".
[[nodiscard]] std::string check_unit_name(const Name& network);

/// "capsul-invite-NAME.service".
[[nodiscard]] std::string invite_unit_name(const Name& network);

/// The sealed text of capsul-peer-NAME.service. It starts with the network's unit and stops with it.
/// `network` is a vpn network, `folder` its folder, where peer/inbox/ and peer/bundle.json are; `programs`
/// that of capsul's own programs.
[[nodiscard]] std::string peer_unit(const NetworkRecord& network, const std::filesystem::path& folder,
                                    const std::filesystem::path& runtime,
                                    const std::filesystem::path& programs);

/// The sealed text of capsul-invite-NAME.service, which ends with the invitation, in `lasts` from now.
[[nodiscard]] std::string invite_unit(const NetworkRecord& network, const std::filesystem::path& folder,
                                      const std::filesystem::path& programs, std::chrono::seconds lasts);

/// The sealed text of capsul-check-NAME.service, whose start lasts until all hosts have been tried.
[[nodiscard]] std::string check_unit(const NetworkRecord& network, const std::filesystem::path& folder,
                                     const std::filesystem::path& programs);

/// A host that does not answer takes a quarter of a minute, and they are tried at the same time; then a
/// throughput takes as long for each that does.
inline constexpr std::chrono::minutes check_limit{15};

} // namespace capsul
