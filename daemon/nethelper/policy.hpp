// What the administrator lets whom do: the text of /etc/capsul/net.policy (net.policy(5)).
#pragma once

#include "daemon/nethelper/bounded.hpp"
#include "daemon/nethelper/values.hpp"

#include <optional>
#include <string_view>
#include <sys/types.h>

namespace capsul::nethelper {

constexpr std::size_t max_policy_bytes = 65536;
/// In the place of a bridge's name: all bridges that the caller made.
constexpr std::string_view own_bridges = "own";

enum class Grant : std::uint8_t { prefix, bridge, tap, ip, subnet, nat };

/// One line: "UID KIND WHERE [NUMBER or NETWORK]".
struct Rule {
    uid_t uid = 0;
    Grant grant = Grant::nat;
    Name where;
    std::uint32_t number = 0;
    Cidr network;
    std::string_view line;
};

struct PolicyProblem {
    unsigned line = 0;
    const char* what = nullptr;
};

class Policy {
  public:
    /// Nothing when all of `text` is good; one bad line, and none of it counts. Lines of the rules are parts
    /// of `text`.
    [[nodiscard]] std::optional<PolicyProblem> parse(std::string_view text);

    /// What every name of the user's begins with; nullptr for a user without any line.
    [[nodiscard]] const Name* prefix_of(uid_t uid) const;
    /// How many bridges (Grant::bridge) or TAPs on `where` (Grant::tap) the user may have.
    [[nodiscard]] unsigned quota(uid_t uid, Grant grant, std::string_view where) const;
    /// Whether a Grant::ip or Grant::subnet line has all of `network`.
    [[nodiscard]] bool covers(uid_t uid, Grant grant, std::string_view where, const Cidr& network) const;
    [[nodiscard]] bool allows_nat(uid_t uid) const;

    [[nodiscard]] const Rule* begin() const { return rules_.begin(); }
    [[nodiscard]] const Rule* end() const { return rules_.end(); }

  private:
    [[nodiscard]] const char* add_line(std::string_view line);
    [[nodiscard]] const char* conflict_of(const Rule& added) const;
    [[nodiscard]] const Rule* find(uid_t uid, Grant grant, std::string_view where) const;

    Bounded<Rule, 1024> rules_;
};

} // namespace capsul::nethelper
