"""A sample company with long names, long addresses and many actions: its pages show what overflows or is cut."""

from __future__ import annotations

from sample_company import ACCOUNT, Company, Staff

RESOURCES = ("correspondence-with-policyholders", "reinsurance-treaty-settlements", "customers")
VERBS = (
    "read-including-attachments-and-drafts",
    "approve-on-behalf-of-the-responsible-department",
    "export-as-machine-readable-archive",
    "list",
    "read",
)
ACTIONS = tuple(f"{resource}:{verb}" for resource in RESOURCES for verb in VERBS)
PURPOSE = "Lets an agent work on the records of the department that is responsible, with all attachments and drafts."
HOST = "https://correspondence-and-complaints.gateway.eu-central-1.insurance-group.example.com"
LETTERS, TREATIES, ONE_WORD = (
    "Correspondence with policyholders, brokers and supervisors",
    "Settlement of reinsurance treaties and retrocession records",
    "Policyholdercorrespondenceandcomplaintsarchivegatewayservice",
)
OFFICE = "Department for Correspondence, Complaints and Supervisory Affairs"
CLERK, READER = (
    "Correspondence with Policyholders, Brokers and Supervisors 1",
    "Policyholdercorrespondenceandcomplaintsandsupervisoryaffairs",
)
CLERK_ROLE = "correspondence-with-policyholders-brokers-and-supervisors-1"
LONG = Company(
    apis={
        name: (f"{HOST}/{'internal/' * 8}{number}", dict.fromkeys(ACTIONS, PURPOSE))
        for number, name in enumerate((LETTERS, TREATIES, ONE_WORD))
    },
    roles={CLERK: ACTIONS, READER: [action for action in ACTIONS if action.endswith("read")]},
    staff=(
        Staff(
            name=CLERK,
            platform="kubernetes",
            owner=OFFICE,
            daily=9,
            role=CLERK_ROLE,
            actions=ACTIONS,
            api=LETTERS,
            selectors=(("k8s:ns", "production"), ("k8s:sa", ACCOUNT)),
        ),
        Staff(
            name=READER,
            platform="key",
            owner=READER,
            daily=3,
            role=READER.lower(),
            actions=("customers:read",),
            api=ONE_WORD,
            target_type="MCP server",
        ),
        Staff(
            name=f"{READER[:59]}2",
            platform="docker",
            owner=OFFICE,
            daily=2,
            selectors=(
                ("docker:label:com.example.responsible-department-and-deputy", "correspondence-" * 12),
                ("docker:label:com.example.image", f"{HOST.removeprefix('https://')}/correspondence-archive"),
            ),
        ),
        Staff(
            name=TREATIES,
            platform="unattested",
            owner=OFFICE,
            daily=2,
            role=CLERK_ROLE,
            actions=ACTIONS[:5],
            target_type="LangChain AI agent",
        ),
        Staff(
            name="Retired Correspondence with Policyholders and their Brokers",
            platform="secret",
            owner=OFFICE,
            daily=0,
            role=READER.lower(),
            actions=("customers:read",),
            api=TREATIES,
            retired=True,
        ),
    ),
    clusters={
        "production-cluster-of-the-correspondence-office-eu-central-1": f"{HOST}/clusters/{'production-' * 9}1",
        "retired-cluster-of-the-correspondence-office-eu-central-1": f"{HOST}/clusters/{'retired-' * 12}1",
    },
)
