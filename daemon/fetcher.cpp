#include "daemon/fetcher.hpp"

#include "daemon/fetch_unit.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <condition_variable>
#include <fmt/format.h>
#include <mutex>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds patience{30};
constexpr auto part_life = std::chrono::days(7);

std::string words_for(const FetchProgress& now) {
    switch (now.phase) {
    case FetchPhase::hashing:
        return "reading what is there already";
    case FetchPhase::waiting:
        return fmt::format("waiting to try again: {}", now.waits_for);
    case FetchPhase::verifying:
        return "verifying";
    case FetchPhase::reading:
        return fmt::format("reading what the sources publish, {} of {}", now.bytes,
                           now.total.value_or(now.bytes));
    case FetchPhase::downloading:
        break;
    }
    return now.total ? fmt::format("downloading, {} of {}", human_size(now.bytes), human_size(*now.total))
                     : fmt::format("downloading, {}", human_size(now.bytes));
}

void tell(const FetchProgress& now, Progress& progress) {
    progress.message(words_for(now));
    if (now.total && *now.total > 0 && now.phase != FetchPhase::waiting) {
        progress.percent(static_cast<int>(100 * std::min(now.bytes, *now.total) / *now.total));
    }
}

/// Tells of what progress.json says, for as long as it lives.
class Follower {
  public:
    Follower(fs::path file, Progress& progress)
        : thread_([file = std::move(file), &progress](const std::stop_token& stop) {
              follow(file, progress, stop);
          }) {}

  private:
    static void follow(const fs::path& file, Progress& progress, const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        while (!never.wait_for(lock, stop, 500ms, [] { return false; }) && !stop.stop_requested()) {
            try {
                tell(parse<FetchProgress>(read_file(file, most_fetch_bytes)), progress);
            } catch (const Error&) {
                // It has not begun yet, or has ended.
            }
        }
    }

    std::jthread thread_;
};

Error without_result(const std::string& unit, const std::string& how) {
    if (how == "timeout") {
        return {ErrorCode::timeout, "capsul-fetch: did not end in time and was stopped",
                "try it again: it goes on where it was"};
    }
    return {ErrorCode::internal, fmt::format("capsul-fetch: has ended without a result ({})", how),
            fmt::format("`journalctl --user -u {}` has its words", unit)};
}

bool is_fetch_unit(const std::string& unit) {
    return name_in_unit(unit, "capsul-fetch-").has_value();
}

bool is_old(const fs::path& folder) {
    std::error_code gone;
    const auto changed = fs::last_write_time(folder, gone);
    return !gone && fs::file_time_type::clock::now() - changed > part_life;
}

} // namespace

void Fetcher::sweep() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(paths_.units, none)) {
        const std::string unit = entry.path().filename().string();
        if (is_fetch_unit(unit)) {
            end(unit);
        }
    }
    make_folders(paths_.fetches());
    for (const auto& entry : fs::recursive_directory_iterator(paths_.fetches(), none)) {
        if (entry.path().extension() == ".claimed") { // was being made an image of
            remove_whole(entry.path());
        }
    }
    expire();
}

void Fetcher::expire() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(paths_.fetches(), none)) {
        if (is_old(entry.path())) {
            remove_whole(entry.path());
        }
    }
}

/// Whatever became of it, and of systemd: the next sweep meets what is left.
void Fetcher::end(const std::string& unit) const {
    try {
        units_.take_down(systemd_, unit, patience);
        units_.remove(unit);
    } catch (const Error&) {
        // Without systemd it does not run.
    }
}

FetchedFile Fetcher::disk(const Name& id, const DiskRequest& request, Progress& progress) const {
    auto result = run<DiskResult>(id, request, disk_fetch_limit, progress);
    if (!result.file) {
        throw Error(ErrorCode::internal, "capsul-fetch: says nothing of what it has downloaded");
    }
    return *std::move(result.file);
}

Catalogue Fetcher::catalogue(const CatalogueRequest& request, Progress& progress) const {
    return run<CatalogueResult>(Name::parse("catalogue"), request, catalogue_fetch_limit, progress).catalogue;
}

void Fetcher::forget(const Name& id) const {
    remove_whole(folder(id));
}

template <class Result, class Request>
Result Fetcher::run(const Name& id, const Request& request, std::chrono::milliseconds limit,
                    Progress& progress) const {
    const std::string unit = fetch_unit_name(id);
    make_folders(folder(id));
    remove_whole(folder(id) / fetch_result_file);
    replace_file(folder(id) / fetch_request_file, dump_json(encode(request), 1) + "\n");
    units_.write(unit, fetch_unit({id, folder(id), paths_.data, programs_}, request));
    std::string how;
    {
        const Follower follower(folder(id) / fetch_progress_file, progress);
        how = run_unit(unit, limit, progress);
    }
    const fs::path file = folder(id) / fetch_result_file;
    if (!fs::exists(file)) {
        throw without_result(unit, how);
    }
    auto result = parse<Result>(read_file(file, most_catalogue_bytes));
    if (result.error) {
        throw result.error->error();
    }
    return result;
}

/// How systemd says that it has ended, in a word of its own; what came of it is told by its result.
std::string Fetcher::run_unit(const std::string& unit, std::chrono::milliseconds limit,
                              Progress& progress) const {
    try {
        static_cast<void>(
            systemd_.start(unit, limit + patience, [&progress] { return progress.cancelled(); }));
        std::string how = systemd_.status(unit).result;
        end(unit);
        return how;
    } catch (const Error&) {
        end(unit);
        throw;
    }
}

} // namespace capsul
