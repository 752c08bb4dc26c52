#include "daemon/packet_filter.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <sstream>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// What stands behind "KEY=" in a line.
std::string value_of(const std::string& line, const std::string& key) {
    std::istringstream words(line);
    for (std::string word; words >> word;) {
        if (word.starts_with(key + "=")) {
            return word.substr(key.size() + 1);
        }
    }
    return {};
}

void add_line(FilterFacts& facts, const std::string& line) {
    std::istringstream words(line);
    std::string kind;
    std::string name;
    words >> kind >> name;
    if (kind == "bridge") {
        facts.bridges[name] = value_of(line, "egress") + " " + value_of(line, "isolated");
    } else if (const std::string ips = value_of(line, "ips"); kind == "tap" && !ips.empty()) {
        facts.ips[name] = ips;
    }
}

} // namespace

std::string FilterFacts::ips_of(const std::string& tap) const {
    const auto found = ips.find(tap);
    return found == ips.end() ? "?" : found->second;
}

bool FilterFacts::says(std::string_view word) const {
    const auto is_said = [&](const auto& one) { return one.second.substr(0, one.second.find(' ')) == word; };
    return std::ranges::any_of(ips, is_said) || std::ranges::any_of(bridges, is_said);
}

FilterFacts parse_filter_facts(std::string_view text) {
    FilterFacts facts;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        add_line(facts, line);
    }
    return facts;
}

std::optional<FilterFacts> ask_packet_filter(SystemdClient& systemd, const std::filesystem::path& runtime) {
    static std::mutex asking; // the answer is one file
    const std::lock_guard lock(asking);
    try {
        if (systemd.start("capsul-filter-list.service", 2s) != JobResult::done) {
            return std::nullopt;
        }
        const std::filesystem::path answer = runtime / "capsul/filter";
        const std::string text = read_file(answer);
        std::filesystem::remove(answer);
        return parse_filter_facts(text);
    } catch (const std::exception&) {
        return std::nullopt; // it is what the result says
    }
}

} // namespace capsul
