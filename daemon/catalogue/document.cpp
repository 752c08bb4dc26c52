#include "daemon/catalogue/document.hpp"

#include "lib/one_line.hpp"

namespace capsul {

void note(CatalogueStep& step, const Name& source, const std::string& message, const std::string& hint) {
    if (step.problems.size() > most_problems) {
        return;
    }
    if (step.problems.size() == most_problems) {
        step.problems.push_back({source, "there is more wrong with it", std::nullopt});
        return;
    }
    step.problems.push_back(
        {source, one_line(message, 300), hint.empty() ? std::nullopt : std::optional<std::string>(hint)});
}

} // namespace capsul
