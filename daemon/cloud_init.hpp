// What a guest's cloud-init reads on first boot (its NoCloud data source). Pure: values in, file texts out.
#pragma once

#include "lib/mac.hpp"
#include "lib/name.hpp"
#include "lib/vm.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// What a guest is told about one of its NICs.
struct SeedNic {
    Mac mac;
    std::vector<std::string> addresses; ///< with prefix; none: by DHCP
    std::vector<IpAddress> gateways;
    std::vector<IpAddress> dns;
    std::vector<std::string> search{}; ///< domains that short names are looked up in
    std::optional<int> mtu{};          ///< as the guest has it by itself when absent
};

/// What a VM tells its guest.
struct Seed {
    Uuid instance; ///< cloud-init sets a guest up once for each
    Name hostname;
    std::vector<SshKey> ssh_keys;
    std::optional<std::string> user_data;
    std::optional<std::string> init_script;
    std::vector<SeedNic> nics;
    bool new_identity = false; ///< on its disk is that of another machine
};

/// File name to content: meta-data, user-data, network-config and, with an init script or for a new identity,
/// vendor-data.
[[nodiscard]] std::map<std::string, std::string> seed_files(const Seed& seed);

/// The same for a copy of a VM: keys, user-data and vendor-data are those of `original`, the files of the
/// other's; what `seed` says of keys and data is passed over. One that got a new identity still has it.
/// Throws Error (invalid) when they are not what capsul writes.
[[nodiscard]] std::map<std::string, std::string>
seed_files_of_copy(const std::map<std::string, std::string>& original, Seed seed);

/// Throws Error: too_large above 64 KiB; invalid when cloud-init would not know what it is, or when it is a
/// cloud-config that is no YAML mapping (the message says line and column).
void check_user_data(std::string_view user_data);

/// Throws Error: too_large above 64 KiB; invalid unless it begins with "#!", and on NUL.
void check_init_script(std::string_view script);

} // namespace capsul
