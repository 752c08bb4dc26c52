// network check: how well the other hosts of a VPN are reached.
#include "cli/commands.hpp"
#include "cli/findings_view.hpp"
#include "lib/vpn_calls.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <memory>
#include <set>

namespace capsul::cli {
namespace {

constexpr std::array<Column<PeerFinding>, 6> columns{{
    {"node", [](const PeerFinding& finding) { return finding.node.to_string(); }},
    {"check", [](const PeerFinding& finding) { return finding.check; }},
    {"severity", [](const PeerFinding& finding) { return std::string(to_string(finding.severity)); },
     Shown::always, false, [](const PeerFinding& finding) { return severity_style(finding.severity); }},
    {"value",
     [](const PeerFinding& finding) { return finding.value ? fmt::format("{:.1f}", *finding.value) : ""; },
     Shown::wide, true},
    {"message", [](const PeerFinding& finding) { return finding.message; }},
    {"hint", [](const PeerFinding& finding) { return finding.hint; }, Shown::wide},
}};

std::string render(const std::vector<PeerFinding>& found, const OutputOptions& options) {
    std::vector<Finding> findings;
    for (const PeerFinding& one : found) {
        findings.push_back(
            {fmt::format("{} {}", one.node.to_string(), one.check), one.severity, one.message, one.hint});
    }
    return render_findings(findings, options);
}

void check(Session& session, const std::string& word) {
    const NetworkCheck call{Name::parse(word)};
    const std::string subject = "network " + word;
    about(subject, [&] {
        const std::vector<PeerFinding> findings = session.run(call, subject);
        const OutputOptions options = session.output_options();
        if (options.format == Format::table && options.columns.empty()) {
            session.out().write(render(findings, options));
        } else {
            print_list<PeerFinding>(session.out(), options, findings, columns);
        }
        std::set<NodeName> all;
        std::set<NodeName> failed;
        for (const PeerFinding& finding : findings) {
            all.insert(finding.node);
            if (finding.severity == Severity::failure) {
                failed.insert(finding.node);
            }
        }
        session.exit_code = failed.empty() ? 0 : exit_code(ErrorCode::not_capable);
        session.note(all.empty()      ? fmt::format("{}: no other host is in it yet", subject)
                     : failed.empty() ? fmt::format("{}: all {} other hosts are reached", subject, all.size())
                                      : fmt::format("{}: {} of {} other hosts have failures", subject,
                                                    failed.size(), all.size()));
    });
}

} // namespace

void add_network_check(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "check", "Try how well the other hosts of a VPN are reached; exit 8 if one is not",
        "capsulctl network check mesh\n"
        "capsulctl network check mesh >/dev/null || mail -s 'mesh is torn' root </dev/null\n"
        "capsulctl network check mesh --json | jq '.[] | select(.check == \"download\") | {node, value}'");
    auto name = std::make_shared<std::string>();
    command.add_option("NAME", *name, "The network")->required()->type_name("NETWORK");
    prints_table<PeerFinding>(session, command, columns);
    command.callback([&session, name] { check(session, *name); });
}

} // namespace capsul::cli
