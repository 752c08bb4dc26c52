#include "daemon/build_log.hpp"

#include "lib/one_line.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace capsul {
namespace {

constexpr std::size_t longest_line = 4096;
constexpr std::size_t longest_words = 300;

struct Stage {
    std::string_view begins; ///< the line with which it begins
    std::string_view text;
    int percent;                   ///< when it begins
    std::size_t steps_per_package; ///< that are told of, a line each
};

// As of a build in which nothing is slow.
constexpr std::array<Stage, 10> stages{{
    {"", "starting", 0, 0},
    {"I: running apt-get update", "asking the mirror what there is", 1, 0},
    {"I: downloading packages with apt", "downloading the essential packages", 3, 1},
    {"I: extracting archives", "unpacking the essential packages", 10, 0},
    {"I: installing essential packages", "installing the essential packages", 14, 2},
    {"I: installing remaining packages", "downloading and installing packages", 25, 3},
    {"capsul-build: configuring the guest", "configuring the guest", 85, 0},
    {"capsul-build: making the disk", "making the disk", 88, 0},
    {"capsul-build: writing the image", "writing the image", 95, 0},
    {"capsul-build: done", "done", 100, 0},
}};

bool is_step(std::string_view line) {
    return line.starts_with("Get:") || line.starts_with("Unpacking ") || line.starts_with("Setting up ");
}

/// N of "0 upgraded, N newly installed, 0 to remove and 0 not upgraded."; 0 in any other line.
std::size_t newly_installed(std::string_view line) {
    constexpr std::string_view before = " upgraded, ";
    const std::size_t found = line.find(before);
    std::size_t number = 0;
    if (found != std::string_view::npos && line.find(" newly installed") != std::string_view::npos) {
        std::from_chars(line.data() + found + before.size(), line.data() + line.size(), number);
    }
    return number;
}

} // namespace

void BuildLog::add(std::string_view piece) {
    while (!piece.empty()) {
        const std::size_t end = piece.find('\n');
        rest_ += piece.substr(0, std::min(end, longest_line - std::min(longest_line, rest_.size())));
        if (end == std::string_view::npos) {
            return;
        }
        take_line(rest_);
        rest_.clear();
        piece.remove_prefix(end + 1);
    }
}

void BuildLog::take_line(std::string_view line) {
    const auto next = std::find_if(stages.begin() + 1, stages.end(),
                                   [&](const Stage& stage) { return line.starts_with(stage.begins); });
    if (next != stages.end()) {
        stage_ = static_cast<std::size_t>(next - stages.begin());
        steps_ = 0;
    }
    packages_ = std::max(packages_, newly_installed(line));
    steps_ += is_step(line) ? 1U : 0U;
    if (error_.empty() && line.starts_with("E: ")) {
        error_ = line;
    }
    full_ = full_ || line.find("No space left on device") != std::string_view::npos;
    if (!line.empty()) {
        line_ = line;
    }
}

std::string BuildLog::stage() const {
    return std::string(stages.at(stage_).text);
}

int BuildLog::percent() const {
    const Stage& stage = stages.at(stage_);
    const std::size_t steps = packages_ * stage.steps_per_package;
    if (steps == 0) {
        return stage.percent;
    }
    const int width = stages.at(stage_ + 1).percent - stage.percent;
    return stage.percent +
           static_cast<int>(static_cast<std::size_t>(width) * std::min(steps_, steps) / steps);
}

std::string BuildLog::last_words() const {
    const std::string_view words = !error_.empty() ? std::string_view(error_).substr(3)
                                   : rest_.empty() ? std::string_view(line_)
                                                   : std::string_view(rest_);
    return one_line(words, longest_words);
}

} // namespace capsul
