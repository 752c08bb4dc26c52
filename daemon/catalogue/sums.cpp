#include "daemon/catalogue/sums.hpp"

#include "daemon/catalogue/clearsigned.hpp"
#include "daemon/catalogue/lines.hpp"
#include "lib/error.hpp"

#include <charconv>
#include <fmt/format.h>
#include <set>

namespace capsul {
namespace {

constexpr std::size_t most_lines = 20'000;

/// A checksum and whose it is.
struct SumLine {
    std::string file;
    Checksum checksum;
};

std::optional<Checksum> as_checksum(std::string_view digits) {
    if (digits.size() != 64 && digits.size() != 128) {
        return std::nullopt;
    }
    try {
        return Checksum::of_hex(digits);
    } catch (const Error&) {
        return std::nullopt;
    }
}

/// Without "./", which says nothing.
std::string plain_name(std::string_view name) {
    return std::string(name.starts_with("./") ? name.substr(2) : name);
}

/// "SHA256 (FILE) = HEX"
std::optional<SumLine> parse_bsd(std::string_view line) {
    constexpr std::string_view closing = ") = ";
    const std::size_t name = line.find(" (");
    const std::size_t end = line.rfind(closing);
    if (name == std::string_view::npos || end == std::string_view::npos || end < name + 2) {
        return std::nullopt;
    }
    const std::string_view word = line.substr(0, name);
    const auto checksum = as_checksum(line.substr(end + closing.size()));
    if (!checksum || word != (checksum->algorithm() == Checksum::Algorithm::sha256 ? "SHA256" : "SHA512")) {
        return std::nullopt;
    }
    return SumLine{plain_name(line.substr(name + 2, end - name - 2)), *checksum};
}

/// "HEX  FILE", "HEX *FILE", or "HEX" alone; also with one space.
std::optional<SumLine> parse_gnu(std::string_view line) {
    const std::size_t digits = std::min(line.find_first_of(" \t"), line.size());
    const auto checksum = as_checksum(line.substr(0, digits));
    if (!checksum) {
        return std::nullopt;
    }
    std::string_view name = line.substr(digits);
    name.remove_prefix(std::min(name.find_first_not_of(" \t"), name.size()));
    if (name.starts_with('*')) {
        name.remove_prefix(1);
    }
    return SumLine{plain_name(name), *checksum};
}

/// Of two checksums the stronger; two of one kind that differ are worth nothing.
class Sums {
  public:
    void add(const SumLine& line) {
        std::optional<Checksum>& kept = by_file_[line.file].checksum;
        if (torn_.contains(line.file) || kept == line.checksum) {
            return;
        }
        if (!kept || kept->algorithm() < line.checksum.algorithm()) {
            kept = line.checksum;
        } else if (kept->algorithm() == line.checksum.algorithm()) {
            kept.reset();
            torn_.insert(line.file);
        }
    }
    void add_size(const std::string& file, std::uint64_t size) { sizes_.insert_or_assign(file, size); }

    [[nodiscard]] std::map<std::string, FileSum> take() {
        for (auto& [file, sum] : by_file_) {
            const auto size = sizes_.find(file);
            if (size != sizes_.end()) {
                sum.size = size->second;
            }
        }
        return std::move(by_file_);
    }

  private:
    std::map<std::string, FileSum> by_file_;
    std::map<std::string, std::uint64_t> sizes_;
    std::set<std::string> torn_;
};

/// "# FILE: SIZE bytes"
void take_size(std::string_view line, Sums& sums) {
    constexpr std::string_view comment = "# ";
    constexpr std::string_view unit = " bytes";
    const std::size_t colon = line.rfind(": ");
    if (!line.starts_with(comment) || !line.ends_with(unit) || colon == std::string_view::npos ||
        colon < comment.size() || colon + 2 + unit.size() > line.size()) {
        return;
    }
    const std::string_view digits = line.substr(colon + 2, line.size() - unit.size() - colon - 2);
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    if (error == std::errc{} && end == digits.data() + digits.size() && size > 0) {
        sums.add_size(plain_name(line.substr(comment.size(), colon - comment.size())), size);
    }
}

} // namespace

std::map<std::string, FileSum> parse_sums(std::string_view text) {
    if (text.size() > largest_sums) {
        throw Error(ErrorCode::invalid, fmt::format("it has more than {}", human_size(largest_sums)));
    }
    const std::string inside = without_signature(text);
    std::string_view rest = inside;
    Sums sums;
    std::size_t lines = 0;
    while (const auto line = take_line(rest)) {
        if (++lines > most_lines) {
            throw Error(ErrorCode::invalid, fmt::format("it has more than {} lines", most_lines));
        }
        if (line->starts_with('#')) {
            take_size(*line, sums);
        } else if (const auto bsd = parse_bsd(*line)) {
            sums.add(*bsd);
        } else if (const auto gnu = parse_gnu(*line)) {
            sums.add(*gnu);
        }
    }
    std::map<std::string, FileSum> found = sums.take();
    if (found.empty()) {
        const std::size_t first = inside.find_first_not_of(" \t\r\n");
        const bool is_page = first != std::string::npos && inside[first] == '<';
        throw Error(ErrorCode::invalid,
                    is_page ? "it is a web page, not a list of checksums" : "there is no checksum in it");
    }
    return found;
}

} // namespace capsul
