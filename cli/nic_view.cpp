#include "cli/nic_view.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

std::string received_text(const NicView& nic) {
    return nic.counters ? human_size(nic.counters->rx_bytes) : "";
}

std::string sent_text(const NicView& nic) {
    return nic.counters ? human_size(nic.counters->tx_bytes) : "";
}

template <auto counter>
std::string number_text(const NicView& nic) {
    return nic.counters ? std::to_string((*nic.counters).*counter) : "";
}

std::string protections_text(const NicView& nic) {
    return nic.protections ? joined(*nic.protections, [](const std::string& word) { return word; }) : "";
}

constexpr std::array<Column<NicView>, 13> nic_table{{
    {"slot", [](const NicView& nic) { return std::to_string(nic.slot); }, Shown::always, true},
    {"network", [](const NicView& nic) { return nic.network.to_string(); }},
    {"mac", [](const NicView& nic) { return nic.mac.to_string(); }},
    {"ip", [](const NicView& nic) { return optional_text(nic.ip); }},
    {"ip6", [](const NicView& nic) { return optional_text(nic.ip6); }, Shown::filled},
    {"tap", [](const NicView& nic) { return optional_text(nic.tap); }},
    {"protections", protections_text, Shown::wide},
    {"received", received_text, Shown::wide, true, nullptr, number_text<&LinkCounters::rx_bytes>},
    {"received-packets", number_text<&LinkCounters::rx_packets>, Shown::wide, true},
    {"received-dropped", number_text<&LinkCounters::rx_dropped>, Shown::wide, true},
    {"sent", sent_text, Shown::wide, true, nullptr, number_text<&LinkCounters::tx_bytes>},
    {"sent-packets", number_text<&LinkCounters::tx_packets>, Shown::wide, true},
    {"sent-dropped", number_text<&LinkCounters::tx_dropped>, Shown::wide, true},
}};

/// "on lan, 10.80.0.2, MAC 02:00:00:00:00:01, TAP cap-web-0"
std::string nic_text(const Nic& nic) {
    std::string text = "on " + nic.network.to_string();
    for (const auto& ip : {nic.ip, nic.ip6}) {
        text += ip ? ", " + ip->to_string() : "";
    }
    return text + ", MAC " + nic.mac.to_string() + (nic.tap ? ", TAP " + nic.tap->to_string() : "");
}

/// What a protection means; a word that is not known here, a newer daemon's, is passed on.
std::string protection_words(const std::string& word) {
    if (word == "mac") {
        return "bound to its MAC";
    }
    if (word == "ip") {
        return "bound to its addresses";
    }
    if (word == "ip?") {
        return "perhaps bound to its addresses (the packet filter cannot be asked)";
    }
    if (word == "cut-off") {
        return "cut off, since the packet filter does not know it (`capsulctl doctor` helps)";
    }
    return word == "isolated" ? "isolated from other VMs" : word;
}

std::string protection_sentence(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : ", ") + protection_words(word);
    }
    return text.empty() ? "none" : text;
}

std::string carried_text(std::uint64_t bytes, std::uint64_t packets, std::uint64_t dropped) {
    return fmt::format("{} in {} packets, {} dropped", human_size(bytes), packets, dropped);
}

} // namespace

std::vector<NicView> nic_views(const Vm& vm) {
    std::vector<NicView> views;
    for (const Nic& nic : vm.spec ? vm.spec->nics : std::vector<Nic>()) {
        NicView view{nic, {}, {}};
        const auto status = std::ranges::find(vm.nics, nic.slot, &NicStatus::slot);
        if (status != vm.nics.end()) {
            view.counters = status->counters;
            view.protections = status->protections;
        }
        views.push_back(view);
    }
    return views;
}

std::vector<Line> carried_lines(const LinkCounters& carried) {
    return {{"  Received", carried_text(carried.rx_bytes, carried.rx_packets, carried.rx_dropped)},
            {"  Sent", carried_text(carried.tx_bytes, carried.tx_packets, carried.tx_dropped)}};
}

std::span<const Column<NicView>> nic_columns() {
    return nic_table;
}

std::vector<Line> nic_lines(const Vm& vm, bool wide) {
    std::vector<Line> lines;
    for (const NicView& nic : nic_views(vm)) {
        lines.push_back({fmt::format("NIC {}", nic.slot), nic_text(nic)});
        if (nic.protections) {
            lines.push_back({"  Protection", protection_sentence(*nic.protections)});
        }
        if (wide && nic.counters) {
            std::ranges::move(carried_lines(*nic.counters), std::back_inserter(lines));
        }
    }
    return lines;
}

} // namespace capsul::cli
