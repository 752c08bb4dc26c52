#include "tests/integration/fake_unit.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n';
}

/// The character of a C escape that starts after the backslash at `at`; moves `at` behind it.
char unescape(std::string_view line, std::size_t& at) {
    constexpr std::string_view letters = "abfnrtvs\\\"'";
    constexpr std::string_view meanings = "\a\b\f\n\r\t\v \\\"'";
    const char c = line.at(at++);
    if (const std::size_t found = letters.find(c); found != std::string_view::npos) {
        return meanings[found];
    }
    const int base = c == 'x' ? 16 : 8;
    const std::size_t digits = c == 'x' ? at : at - 1;
    const std::size_t count = c == 'x' ? 2 : 3;
    unsigned value = 0;
    const std::string_view number = line.substr(digits, count);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value, base);
    if (error != std::errc() || end != number.data() + number.size()) {
        throw Error(ErrorCode::invalid, "a bad escape");
    }
    at = digits + number.size();
    return static_cast<char>(value);
}

std::string next_word(std::string_view line, std::size_t& at) {
    std::string word;
    char quote = 0;
    while (at < line.size() && (quote != 0 || !is_blank(line[at]))) {
        const char c = line[at++];
        if (c == '\\' && at < line.size()) {
            word += unescape(line, at);
        } else if (c == quote) {
            quote = 0;
        } else if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else {
            word += c;
        }
    }
    if (quote != 0) {
        throw Error(ErrorCode::invalid, "an open quote");
    }
    return word;
}

std::string stem(const std::string& unit) {
    return unit.substr(0, unit.rfind('.'));
}

std::string expand_specifiers(std::string_view word, const UnitFolders& folders, const std::string& unit) {
    std::string expanded;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] != '%' || i + 1 == word.size()) {
            expanded += word[i];
            continue;
        }
        switch (word[++i]) {
        case '%':
            expanded += '%';
            break;
        case 't':
            expanded += folders.runtime.string();
            break;
        case 'h':
            expanded += folders.home.string();
            break;
        case 'n':
            expanded += unit;
            break;
        case 'N':
        case 'p':
            expanded += stem(unit);
            break;
        default:
            throw Error(ErrorCode::invalid, "a specifier that the fake does not know");
        }
    }
    return expanded;
}

UnitCommand parse_command(const std::string& value, const UnitFolders& folders, const std::string& unit) {
    UnitCommand command;
    for (const std::string& word : split_words(value)) {
        command.words.push_back(expand_specifiers(word, folders, unit));
    }
    std::string& program = command.words.at(0);
    while (!program.empty() && std::string_view("-@:+!").find(program.front()) != std::string_view::npos) {
        command.ignore_failure = command.ignore_failure || program.front() == '-';
        program.erase(0, 1);
    }
    if (!program.starts_with('/')) {
        throw Error(ErrorCode::invalid, "a program that is not an absolute path");
    }
    return command;
}

std::chrono::milliseconds parse_seconds(const std::string& value) {
    const bool in_milliseconds = value.ends_with("ms");
    const double number = std::strtod(value.c_str(), nullptr);
    const double factor = in_milliseconds ? 1 : value.ends_with("min") ? 60'000 : 1000;
    return std::chrono::milliseconds(static_cast<std::int64_t>(number * factor));
}

/// Takes one "Key=value" line of a unit.
class UnitReader {
  public:
    UnitReader(UnitFile& file, const UnitFolders& folders, const std::string& unit)
        : file_(file), folders_(folders), unit_(unit) {}

    void read(const std::string& text) {
        std::string logical;
        std::size_t begin = 0;
        while (begin < text.size()) {
            const std::size_t end = std::min(text.find('\n', begin), text.size());
            const std::string line = text.substr(begin, end - begin);
            begin = end + 1;
            if (line.ends_with('\\')) {
                logical += line.substr(0, line.size() - 1) + ' ';
                continue;
            }
            take_line(logical + line);
            logical.clear();
        }
    }

  private:
    void take_line(const std::string& line) {
        const std::size_t equals = line.find('=');
        if (line.starts_with('#') || line.starts_with(';') || equals == std::string::npos) {
            return;
        }
        const std::string key = line.substr(0, equals);
        std::size_t begin = equals + 1;
        while (begin < line.size() && is_blank(line[begin])) {
            ++begin;
        }
        take(key, line.substr(begin));
    }

    void take(const std::string& key, const std::string& value) {
        if (std::vector<UnitCommand>* const commands = commands_of(key); commands != nullptr) {
            value.empty() ? commands->clear() : commands->push_back(parse_command(value, folders_, unit_));
        } else if (key == "Type") {
            file_.type = value;
        } else if (key == "SyslogIdentifier") {
            file_.syslog_identifier = value;
        } else if (key == "RemainAfterExit") {
            file_.remain_after_exit = is_true(value);
        } else if (key == "KillMode") {
            file_.kill_group = value != "process" && value != "none";
            file_.term_group = value == "control-group";
        } else if (key == "TimeoutStopSec" || key == "TimeoutSec") {
            file_.stop_timeout = parse_seconds(value);
        } else if (key == "TimeoutStartSec") {
            file_.start_timeout = parse_seconds(value);
        } else if (key == "StandardOutput") {
            file_.standard_output = file_output(value);
        } else if (key == "StandardError") {
            file_.standard_error = file_output(value);
        } else if (key == "LimitAS") {
            file_.limits[RLIMIT_AS] = std::stoull(value);
        } else if (key == "LimitCPU") {
            file_.limits[RLIMIT_CPU] = std::stoull(value);
        } else if (key == "LimitFSIZE") {
            file_.limits[RLIMIT_FSIZE] = std::stoull(value);
        } else if (key == "RuntimeDirectoryPreserve") {
            file_.keep_runtime_folders = is_true(value);
        } else if (key == "RuntimeDirectory") {
            append_words(file_.runtime_folders, value);
        } else if (key == "Requires" || key == "BindsTo") {
            append_words(file_.required, value);
        } else if (key == "Wants") {
            append_words(file_.wanted, value);
        } else if (key == "Environment") {
            take_environment(value);
        }
    }

    std::vector<UnitCommand>* commands_of(const std::string& key) {
        return key == "ExecStart"       ? &file_.start
               : key == "ExecStartPre"  ? &file_.start_pre
               : key == "ExecStartPost" ? &file_.start_post
               : key == "ExecReload"    ? &file_.reload
               : key == "ExecStop"      ? &file_.stop
               : key == "ExecStopPost"  ? &file_.stop_post
                                        : nullptr;
    }

    [[nodiscard]] fs::path file_output(const std::string& value) const {
        for (const std::string_view how : {"file:", "append:"}) {
            if (value.starts_with(how)) {
                return expand_specifiers(value.substr(how.size()), folders_, unit_);
            }
        }
        return {};
    }

    static bool is_true(const std::string& value) {
        return value == "yes" || value == "true" || value == "1";
    }

    void append_words(std::vector<std::string>& list, const std::string& value) {
        for (const std::string& word : split_words(value)) {
            list.push_back(expand_specifiers(word, folders_, unit_));
        }
    }

    void take_environment(const std::string& value) {
        for (const std::string& word : split_words(value)) {
            const std::size_t equals = word.find('=');
            file_.environment[word.substr(0, equals)] =
                expand_specifiers(word.substr(equals + 1), folders_, unit_);
        }
    }

    UnitFile& file_;
    const UnitFolders& folders_;
    const std::string& unit_;
};

std::vector<std::string> drop_ins_of(const fs::path& unit) {
    std::vector<std::string> drop_ins;
    const fs::path folder = unit.string() + ".d";
    if (fs::is_directory(folder)) {
        for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
            if (entry.path().extension() == ".conf") {
                drop_ins.push_back(entry.path().string());
            }
        }
    }
    std::ranges::sort(drop_ins);
    return drop_ins;
}

bool is_variable_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// $$, $NAME and ${NAME}, as systemd expands them when it runs a command.
std::string expand_variables(std::string_view word, const std::map<std::string, std::string>& environment) {
    std::string expanded;
    for (std::size_t i = 0; i < word.size();) {
        if (word[i] != '$' || i + 1 == word.size()) {
            expanded += word[i++];
        } else if (word[i + 1] == '$') {
            expanded += '$';
            i += 2;
        } else {
            const bool braces = word[i + 1] == '{';
            const std::size_t begin = i + (braces ? 2 : 1);
            std::size_t end = begin;
            while (end < word.size() && is_variable_char(word[end])) {
                ++end;
            }
            const auto found = environment.find(std::string(word.substr(begin, end - begin)));
            expanded += found == environment.end() ? "" : found->second;
            i = end + (braces ? 1 : 0);
        }
    }
    return expanded;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> list;
    for (std::string& string : strings) {
        list.push_back(string.data());
    }
    list.push_back(nullptr);
    return list;
}

/// Whether a command runs capsul-unpack (by capsul-run), built with a sanitizer: its shadow is larger than
/// any limit of the address space.
bool has_shadow_memory([[maybe_unused]] const std::vector<std::string>& words) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return std::ranges::any_of(
        words, [](const std::string& word) { return fs::path(word).filename() == "capsul-unpack"; });
#else
    return false;
#endif
}

/// Between fork and exec: async-signal-safe only. `failure` gets errno when the program cannot be run.
[[noreturn]] void exec_child(char* const* argv, char* const* environment, const std::array<int, 3>& streams,
                             const std::vector<std::pair<int, rlimit>>& limits, int failure) noexcept {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL); // not even a crash of the test leaves a process behind
    ::dup2(streams[0], STDIN_FILENO);
    ::dup2(streams[1], STDOUT_FILENO);
    ::dup2(streams[2], STDERR_FILENO);
    for (const auto& [resource, limit] : limits) {
        ::setrlimit(static_cast<__rlimit_resource>(resource), &limit);
    }
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    ::execve(argv[0], argv, environment);
    const int number = errno;
    [[maybe_unused]] const ssize_t written = ::write(failure, &number, sizeof number);
    ::_exit(203); // EXIT_EXEC, as systemd has it
}

} // namespace

std::vector<std::string> split_words(std::string_view line) {
    std::vector<std::string> words;
    std::size_t at = 0;
    while (true) {
        while (at < line.size() && is_blank(line[at])) {
            ++at;
        }
        if (at == line.size()) {
            return words;
        }
        words.push_back(next_word(line, at));
    }
}

UnitFile load_unit(const UnitFolders& folders, const std::string& unit) {
    UnitFile file;
    const fs::path path = folders.units / unit;
    if (!fs::exists(path)) {
        file.load_state = "not-found";
        return file;
    }
    file.path = path;
    file.drop_ins = drop_ins_of(path);
    file.modified = fs::last_write_time(path);
    if (!fs::is_regular_file(path) || fs::file_size(path) == 0) {
        file.load_state = "masked";
        return file;
    }
    try {
        UnitReader reader(file, folders, unit);
        reader.read(read_file(path));
        for (const std::string& drop_in : file.drop_ins) {
            reader.read(read_file(drop_in));
        }
        const bool is_service = unit.ends_with(".service");
        file.remain_after_exit = file.remain_after_exit || unit.ends_with(".socket");
        file.load_state = is_service && file.start.empty() && file.stop.empty() ? "bad-setting" : "loaded";
    } catch (const std::exception&) {
        file.load_state = "bad-setting";
    }
    return file;
}

UnitProcess::UnitProcess(const UnitCommand& command, const std::map<std::string, std::string>& environment,
                         const UnitFile& file, const std::filesystem::path& log) {
    std::vector<std::string> words;
    for (const std::string& word : command.words) {
        words.push_back(expand_variables(word, environment));
    }
    std::vector<std::string> variables;
    for (const auto& [name, value] : environment) {
        variables.push_back(name + "=" + value);
    }
    const std::vector<char*> argv = pointers(words);
    const std::vector<char*> envp = pointers(variables);
    const UniqueFd input = open_file("/dev/null", O_RDONLY);
    const auto open_output = [&](const fs::path& path) {
        return open_file(path.empty() ? log : path, O_WRONLY | O_CREAT | O_APPEND);
    };
    const UniqueFd output = open_output(file.standard_output);
    const UniqueFd error = open_output(file.standard_error);
    const std::array<int, 3> streams{input.get(), output.get(), error.get()};
    std::vector<std::pair<int, rlimit>> limits;
    for (const auto& [resource, value] : file.limits) {
        if (resource != RLIMIT_AS || !has_shadow_memory(words)) {
            limits.push_back({resource, rlimit{value, value}});
        }
    }
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw_errno(errno, "pipe");
    }
    const UniqueFd failure(ends[0]);
    UniqueFd write_end(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
        exec_child(argv.data(), envp.data(), streams, limits, write_end.get());
    }
    if (pid_ < 0) {
        throw_errno(errno, "fork");
    }
    write_end.reset();
    int number = 0;
    if (::read(failure.get(), &number, sizeof number) > 0) {
        finish();
        throw_errno(number, words.front());
    }
    pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
}

UnitProcess::~UnitProcess() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        finish();
    }
}

void UnitProcess::signal(int number, bool whole_group) const {
    if (pid_ > 0) {
        ::kill(whole_group ? -pid_ : pid_, number);
    }
}

int UnitProcess::finish() {
    ::kill(-pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    pidfd_.reset();
    return status;
}

} // namespace capsul::test
