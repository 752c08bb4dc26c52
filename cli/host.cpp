// doctor and version: the host and the two programs.
#include "lib/host.hpp"
#include "cli/commands.hpp"
#include "cli/findings_view.hpp"
#include "cli/host_checks.hpp"
#include "cli/terminal.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

constexpr std::array<Column<Finding>, 4> finding_table{{
    {"check", [](const Finding& finding) { return finding.check; }},
    {"severity", [](const Finding& finding) { return std::string(to_string(finding.severity)); },
     Shown::always, false, [](const Finding& finding) { return severity_style(finding.severity); }},
    {"message", [](const Finding& finding) { return finding.message; }},
    {"hint", [](const Finding& finding) { return finding.hint; }, Shown::wide},
}};

/// What the daemon finds; without one, that it does not answer, and what can be seen from here.
std::vector<Finding> find(Session& session) {
    try {
        return session.client().call(HostDoctor{});
    } catch (const Error& error) {
        if (error.code() != ErrorCode::unreachable && error.code() != ErrorCode::denied) {
            throw;
        }
        std::vector<Finding> findings{{"daemon", Severity::failure, error.what(), error.hint()}};
        std::ranges::move(check_host(), std::back_inserter(findings));
        return findings;
    }
}

void doctor(Session& session) {
    const OutputOptions options = session.output_options();
    const std::vector<Finding> findings = find(session);
    if (options.format == Format::table && options.columns.empty()) {
        session.out().write(render_findings(findings, options));
    } else {
        print_list<Finding>(session.out(), options, findings, finding_table);
    }
    const auto failures = std::ranges::count(findings, Severity::failure, &Finding::severity);
    session.exit_code = failures == 0 ? 0 : exit_code(ErrorCode::not_capable);
    session.note(failures == 0 ? "this host is ready"
                               : fmt::format("{} of {} checks failed", failures, findings.size()));
}

void version(Session& session) {
    const OutputOptions options = session.output_options();
    Json all{{"client", {{"version", CAPSUL_VERSION}}}, {"server", nullptr}};
    std::string text = "capsulctl " CAPSUL_VERSION "\n";
    const auto print = [&] {
        session.out().write(session.wants_json() ? render_object(all, options) : text);
    };
    try {
        const HostInfo server = session.client().call(HostShow{});
        all["server"] = encode(server);
        text += fmt::format("capsuld {} (API {}, of user {})\n", printable(server.version),
                            printable(server.api), printable(server.user));
        print();
    } catch (const Error&) {
        print();
        throw;
    }
}

} // namespace

void add_host_commands(CLI::App& program, Session& session) {
    CLI::App& doctor_command =
        add_command(program, "doctor", "Check whether this host can run VMs; exit 8 if not",
                    "capsulctl doctor\n"
                    "capsulctl doctor --json | jq -r '.[] | select(.severity != \"ok\") | .hint'");
    prints_table<Finding>(session, doctor_command, finding_table);
    doctor_command.callback([&session] { doctor(session); });
    CLI::App& version_command = add_command(
        program, "version", "Show the versions of capsulctl and of capsuld", "capsulctl version --json");
    version_command.callback([&session] { version(session); });
}

} // namespace capsul::cli
