#include "cli/vpn_options.hpp"

#include <limits>

namespace capsul::cli {

void add_vpn_options(CLI::App& command, VpnFlags& flags) {
    add_texts(command, "--address", flags.addresses, address_type, address_words);
    add_text(command, "--port", flags.port, "N", "What tinc listens on, TCP and UDP, vpn only");
    add_text(command, "--node", flags.node, "HOST", "This host's name in the VPN (default: from its own)");
    add_text(command, "--slice", flags.slice, slice_type, slice_words);
}

std::string first_given(const VpnFlags& flags) {
    if (!flags.addresses.empty()) {
        return "--address";
    }
    const std::vector<std::pair<const char*, const std::string*>> texts{
        {"--port", &flags.port}, {"--node", &flags.node}, {"--slice", &flags.slice}, {"--mtu", &flags.mtu}};
    for (const auto& [option, text] : texts) {
        if (!text->empty()) {
            return option;
        }
    }
    return "";
}

VpnWishes wishes_from(const VpnFlags& flags) {
    constexpr int most = std::numeric_limits<std::uint16_t>::max();
    VpnWishes wishes;
    wishes.node = parse_given<NodeName>("--node", flags.node);
    wishes.addresses = parse_each<VpnAddressWish>("--address", flags.addresses);
    if (!flags.port.empty()) {
        wishes.port = static_cast<std::uint16_t>(parse_number("--port", flags.port, 1, most));
    }
    if (!flags.mtu.empty()) {
        wishes.mtu = parse_number("--mtu", flags.mtu, 1, most);
    }
    wishes.slice = parse_given<Cidr>("--slice", flags.slice);
    return wishes;
}

} // namespace capsul::cli
