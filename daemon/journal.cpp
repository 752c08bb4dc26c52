#include "daemon/journal.hpp"

#include <algorithm>
#include <memory>
#include <systemd/sd-journal.h>
#include <unistd.h>

namespace capsul {
namespace {

struct CloseJournal {
    void operator()(sd_journal* journal) const { sd_journal_close(journal); }
};
using Journal = std::unique_ptr<sd_journal, CloseJournal>;

Journal open_journal(const std::string& unit, const std::string& invocation) {
    sd_journal* raw = nullptr;
    if (sd_journal_open(&raw, SD_JOURNAL_LOCAL_ONLY) < 0) {
        return nullptr;
    }
    Journal journal(raw);
    sd_journal_add_match(raw, ("_SYSTEMD_USER_UNIT=" + unit).c_str(), 0);
    sd_journal_add_match(raw, ("_UID=" + std::to_string(::getuid())).c_str(), 0);
    sd_journal_add_match(raw, "_TRANSPORT=stdout", 0);
    if (!invocation.empty()) {
        sd_journal_add_match(raw, ("_SYSTEMD_INVOCATION_ID=" + invocation).c_str(), 0);
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

std::vector<std::string> journal_lines(const std::string& unit, const std::string& invocation,
                                       std::size_t count, std::chrono::milliseconds patience) {
    const Journal journal = open_journal(unit, invocation);
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
