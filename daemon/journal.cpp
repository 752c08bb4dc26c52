#include "daemon/journal.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

namespace capsul {
namespace {

struct CloseJournal {
    void operator()(sd_journal* journal) const { sd_journal_close(journal); }
};
using Journal = std::unique_ptr<sd_journal, CloseJournal>;

void add_match(sd_journal* journal, const std::string& match) {
    sd_journal_add_match(journal, match.c_str(), 0);
}

/// What programs of this user wrote, of which `more` is true.
void add_output(sd_journal* journal, const std::vector<std::string>& more) {
    add_match(journal, "_UID=" + std::to_string(::getuid()));
    add_match(journal, "_TRANSPORT=stdout");
    for (const std::string& match : more) {
        add_match(journal, match);
    }
}

std::string this_boot() {
    sd_id128_t boot{};
    std::array<char, SD_ID128_STRING_MAX> text{};
    return sd_id128_get_boot(&boot) < 0 ? std::string() : sd_id128_to_string(boot, text.data());
}

Journal open_journal(const std::string& unit, const UnitRun& run) {
    sd_journal* raw = nullptr;
    if (sd_journal_open(&raw, SD_JOURNAL_LOCAL_ONLY) < 0) {
        return nullptr;
    }
    Journal journal(raw);
    std::vector<std::string> of_unit{"_SYSTEMD_USER_UNIT=" + unit};
    if (!run.invocation.empty()) {
        of_unit.push_back("_SYSTEMD_INVOCATION_ID=" + run.invocation);
    }
    add_output(raw, of_unit);
    if (run.main_pid != 0) {
        sd_journal_add_disjunction(raw);
        add_output(raw, {"_PID=" + std::to_string(run.main_pid), "_BOOT_ID=" + this_boot()});
    }
    return journal;
}

std::string message_of(sd_journal* journal) {
    const void* data = nullptr;
    std::size_t size = 0;
    if (sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0) {
        return {};
    }
    std::string text(static_cast<const char*>(data), size);
    text.erase(0, text.find('=') + 1);
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
    return text;
}

std::vector<std::string> last_lines(sd_journal* journal, std::size_t count) {
    std::vector<std::string> lines;
    sd_journal_seek_tail(journal);
    while (lines.size() < count && sd_journal_previous(journal) > 0) {
        lines.push_back(message_of(journal));
    }
    std::ranges::reverse(lines);
    return lines;
}

} // namespace

std::vector<std::string> journal_lines(const std::string& unit, const UnitRun& run, std::size_t count,
                                       std::chrono::milliseconds patience) {
    const Journal journal = open_journal(unit, run);
    if (!journal) {
        return {};
    }
    const auto end = std::chrono::steady_clock::now() + patience;
    while (true) {
        std::vector<std::string> lines = last_lines(journal.get(), count);
        const auto left = end - std::chrono::steady_clock::now();
        if (!lines.empty() || left <= left.zero()) {
            return lines;
        }
        sd_journal_wait(
            journal.get(),
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(left).count()));
    }
}

} // namespace capsul
