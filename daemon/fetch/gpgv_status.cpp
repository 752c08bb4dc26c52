#include "daemon/fetch/gpgv_status.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <vector>

namespace capsul::fetch {
namespace {

constexpr std::string_view prefix = "[GNUPG:] ";

/// What is wrong with a signature, the worst first: the first that is there is told.
struct Fault {
    std::string_view word;
    const char* sentence;
    bool names_key; ///< the line goes on with it
    const char* hint;
};
constexpr std::array<Fault, 8> faults{
    {{"BADSIG", "was changed after it was signed, or is not what was signed: the signature is bad, of", true,
      "do not use it; fetch it again, from the publisher's own server"},
     {"REVKEYSIG", "is signed by a key that was revoked:", true,
      "do not use it: the key may be in other hands. Look for what its publisher says"},
     {"EXPKEYSIG", "is signed by a key that has expired:", true, "get the publisher's present keyring"},
     {"EXPSIG", "has a signature that has expired:", true, "look for a newer one"},
     {"NO_PUBKEY", "is signed by a key that is not in the keyring:", true,
      "get the publisher's present keyring; trust no key that comes from where the file does"},
     {"ERRSIG", "has a signature that cannot be checked:", true,
      "it may be of a kind that is not safe any more, or too new for this gpgv"},
     {"NODATA", "has no signature where one should be", false, "is the URL of the signature right?"},
     {"UNEXPECTED", "has no signature where one should be", false, "is the URL of the signature right?"}}};

/// The rest of the line that follows each word, of one signature.
using Report = std::multimap<std::string, std::string, std::less<>>;

/// What is told of each signature; of none in particular comes first.
std::vector<Report> read_reports(std::string_view text) {
    std::vector<Report> reports(1);
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!line.starts_with(prefix)) {
            continue;
        }
        line.remove_prefix(prefix.size());
        const std::size_t space = std::min(line.find(' '), line.size());
        if (line.substr(0, space) == "NEWSIG") {
            reports.emplace_back();
        }
        reports.back().emplace(line.substr(0, space), line.substr(std::min(space + 1, line.size())));
    }
    return reports;
}

/// Fit for a message: names of keys are anybody's text.
std::string plain(std::string_view text) {
    std::string copy(text.substr(0, 200));
    std::ranges::replace_if(
        copy, [](char c) { return c < ' ' || c > '~'; }, '?');
    return copy;
}

bool has(const std::vector<Report>& reports, std::string_view word) {
    return std::ranges::any_of(reports, [&](const Report& report) { return report.contains(word); });
}

bool is_good(const Report& report) {
    return report.contains("GOODSIG") && report.contains("VALIDSIG") &&
           std::ranges::none_of(faults, [&](const Fault& fault) { return report.contains(fault.word); });
}

[[noreturn]] void refuse(const std::vector<Report>& reports, std::string_view complaint,
                         const SignedThing& thing) {
    for (const Fault& fault : faults) {
        for (const Report& report : reports) {
            if (const auto found = report.find(fault.word); found != report.end()) {
                const std::string key = fault.names_key ? " " + plain(found->second) : std::string();
                throw Error(
                    ErrorCode::verification,
                    fmt::format("{} {}{} (keyring {})", thing.name, fault.sentence, key, thing.keyring),
                    fault.hint);
            }
        }
    }
    throw Error(ErrorCode::verification,
                fmt::format("{}: its signature is not good (keyring {}): {}", thing.name, thing.keyring,
                            plain(complaint.substr(0, complaint.find('\n')))));
}

} // namespace

std::string judge_signature(std::string_view status_lines, int exit_status, std::string_view complaint,
                            const SignedThing& thing) {
    constexpr int good = 0;
    constexpr int some_not_checked = 2;
    const std::vector<Report> reports = read_reports(status_lines);
    const bool ended_well =
        exit_status == good || (exit_status == some_not_checked && has(reports, "NO_PUBKEY"));
    const auto found = std::ranges::find_if(reports, is_good);
    if (!ended_well || found == reports.end() || has(reports, "BADSIG")) {
        refuse(reports, complaint, thing);
    }
    const std::string& line = found->find("VALIDSIG")->second;
    return line.substr(0, line.find(' '));
}

} // namespace capsul::fetch
