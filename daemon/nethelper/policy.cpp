#include "daemon/nethelper/policy.hpp"

#include <algorithm>

namespace capsul::nethelper {
namespace {

constexpr std::string_view blanks = " \t";
constexpr std::string_view reserved = "cap"; // the packaged nftables rules say "cap*"
constexpr std::size_t max_prefix = 11;       // leaves four characters for the rest of a name
constexpr std::uint32_t max_quota = 65535;

using Fields = Bounded<std::string_view, 5>;

/// At most five: a rule has four, and the fifth shows that there are too many.
Fields split(std::string_view line) {
    Fields fields;
    while (true) {
        line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
        const std::size_t length = std::min(line.find_first_of(blanks), line.size());
        if (length == 0 || !fields.push_back(line.substr(0, length))) {
            return fields;
        }
        line.remove_prefix(length);
    }
}

struct GrantWord {
    std::string_view word;
    Grant grant;
    std::size_t fields;
};

constexpr std::array<GrantWord, 6> grant_words{{{"prefix", Grant::prefix, 3},
                                                {"bridge", Grant::bridge, 4},
                                                {"tap", Grant::tap, 4},
                                                {"ip", Grant::ip, 4},
                                                {"subnet", Grant::subnet, 4},
                                                {"nat", Grant::nat, 3}}};

const char* set_uid(Rule& rule, std::string_view text) {
    constexpr std::uint32_t nobody_at_all = 0xffffffff;
    const auto uid = parse_number(text, nobody_at_all - 1);
    if (!uid || *uid == 0) {
        return "the first word must be a numeric user id, and not 0";
    }
    rule.uid = *uid;
    return nullptr;
}

const char* set_prefix(Rule& rule, std::string_view text) {
    const auto prefix = parse_own_name(text);
    if (!prefix || text.size() > max_prefix || !text.starts_with(reserved)) {
        return "a prefix begins with \"cap\", is at most 11 characters long and has only a-z, 0-9 and -";
    }
    rule.where = *prefix;
    return nullptr;
}

/// "own", or for some grants the name of a bridge that the administrator made.
const char* set_where(Rule& rule, std::string_view text) {
    const auto name = parse_any_name(text);
    const bool any_bridge = rule.grant == Grant::tap || rule.grant == Grant::ip;
    if (!name || (!any_bridge && text != own_bridges) || (rule.grant == Grant::ip && text == own_bridges)) {
        return any_bridge ? "the third word must be the name of a bridge" : "the third word must be \"own\"";
    }
    if (text.starts_with(reserved)) {
        return "a bridge whose name begins with \"cap\" is never the administrator's";
    }
    rule.where = *name;
    return nullptr;
}

const char* set_number(Rule& rule, std::string_view text) {
    const auto number = parse_number(text, max_quota);
    rule.number = number.value_or(0);
    return number ? nullptr : "the fourth word must be a number of at most 65535";
}

const char* set_network(Rule& rule, std::string_view text) {
    const auto network = parse_cidr(text);
    if (!network || network->first() != network->address) {
        return "the fourth word must be a network such as 10.80.0.0/16, without bits of a host";
    }
    rule.network = *network;
    return nullptr;
}

const char* parse_rule(Rule& rule, std::string_view line) {
    Fields fields = split(line);
    const auto* word = std::find_if(grant_words.begin(), grant_words.end(), [&](const GrantWord& known) {
        return fields.size() > 1 && known.word == fields[1];
    });
    if (word == grant_words.end()) {
        return "the second word must be prefix, bridge, tap, ip, subnet or nat";
    }
    if (fields.size() != word->fields) {
        return "it has too few words or too many; a comment needs a line of its own";
    }
    rule.line = line;
    rule.grant = word->grant;
    if (const char* problem = set_uid(rule, fields[0])) {
        return problem;
    }
    if (rule.grant == Grant::prefix) {
        return set_prefix(rule, fields[2]);
    }
    if (const char* problem = set_where(rule, fields[2])) {
        return problem;
    }
    switch (rule.grant) {
    case Grant::bridge:
    case Grant::tap:
        return set_number(rule, fields[3]);
    case Grant::ip:
    case Grant::subnet:
        return set_network(rule, fields[3]);
    default:
        return nullptr;
    }
}

} // namespace

std::optional<PolicyProblem> Policy::parse(std::string_view text) {
    rules_ = {};
    if (text.size() > max_policy_bytes) {
        return PolicyProblem{0, "it is longer than 64 KiB"};
    }
    // A file that lost its end would still read well up to its last line.
    if (text.empty() || text.back() != '\n') {
        return PolicyProblem{0, "its last line has no end"};
    }
    if (text.find('\0') != std::string_view::npos) {
        return PolicyProblem{0, "it has a zero byte"};
    }
    for (unsigned number = 1; !text.empty(); ++number) {
        if (const char* problem = add_line(take_field(text, '\n'))) {
            return PolicyProblem{number, problem};
        }
    }
    const auto* lost = std::find_if(begin(), end(), [&](const Rule& rule) { return !prefix_of(rule.uid); });
    return lost == end() ? std::nullopt
                         : std::optional(PolicyProblem{0, "a user with other lines has no prefix line"});
}

const char* Policy::add_line(std::string_view line) {
    const std::size_t start = line.find_first_not_of(blanks);
    if (start == std::string_view::npos || line[start] == '#') {
        return nullptr;
    }
    Rule rule;
    if (const char* problem = parse_rule(rule, line)) {
        return problem;
    }
    if (const char* problem = conflict_of(rule)) {
        return problem;
    }
    return rules_.push_back(rule) ? nullptr : "there are more than 1024 rules";
}

const char* Policy::conflict_of(const Rule& added) const {
    for (const Rule& rule : rules_) {
        const bool is_prefix = added.grant == Grant::prefix && rule.grant == Grant::prefix;
        if (is_prefix && rule.uid == added.uid) {
            return "this user has a prefix already";
        }
        if (is_prefix && (rule.where.starts_with(added.where) || added.where.starts_with(rule.where))) {
            return "one prefix is the beginning of another";
        }
        const bool is_quota = added.grant == Grant::bridge || added.grant == Grant::tap;
        if (is_quota && rule.uid == added.uid && rule.grant == added.grant && rule.where == added.where) {
            return "this number is given twice";
        }
    }
    return nullptr;
}

const Name* Policy::prefix_of(uid_t uid) const {
    const auto* rule =
        std::find_if(begin(), end(), [&](const Rule& r) { return r.uid == uid && r.grant == Grant::prefix; });
    return rule == end() ? nullptr : &rule->where;
}

unsigned Policy::quota(uid_t uid, Grant grant, std::string_view where) const {
    const Rule* rule = find(uid, grant, where);
    return rule == nullptr ? 0 : rule->number;
}

bool Policy::covers(uid_t uid, Grant grant, std::string_view where, const Cidr& network) const {
    return std::any_of(begin(), end(), [&](const Rule& rule) {
        return rule.uid == uid && rule.grant == grant && rule.where.is(where) &&
               rule.network.contains(network);
    });
}

bool Policy::allows_nat(uid_t uid) const {
    return find(uid, Grant::nat, own_bridges) != nullptr;
}

const Rule* Policy::find(uid_t uid, Grant grant, std::string_view where) const {
    const auto* rule = std::find_if(
        begin(), end(), [&](const Rule& r) { return r.uid == uid && r.grant == grant && r.where.is(where); });
    return rule == end() ? nullptr : rule;
}

} // namespace capsul::nethelper
