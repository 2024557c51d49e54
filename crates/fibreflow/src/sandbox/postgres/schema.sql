-- FibreFlow's tables, as far as the workflows know them.

create table contractors (
    id uuid primary key,
    company_name text not null,
    contact_person text,
    email text,
    phone text,
    address text,
    status text,
    is_active boolean default true,
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);

create table projects (
    id serial primary key,
    project_name text not null,
    description text,
    status text,
    contractor_id uuid references contractors (id),
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);

create table sow_drops (
    id serial primary key,
    project_id integer not null references projects (id),
    contractor_id uuid references contractors (id),
    drop_number varchar(20) not null unique,
    pole_number varchar(20) not null,
    address text,
    latitude numeric(9, 6) not null,
    longitude numeric(9, 6) not null,
    cable_length numeric(6, 1),
    status text not null,
    installed_at timestamp,
    created_at timestamp not null default now()
);

create table foto_ai_reviews (
    dr_number varchar(50) primary key,
    overall_status varchar(10) not null check (overall_status in ('PASS', 'FAIL')),
    average_score numeric(4, 2) not null,
    total_steps integer not null,
    passed_steps integer not null,
    step_results jsonb not null,
    markdown_report text,
    feedback_sent boolean not null default false,
    feedback_sent_at timestamp,
    evaluation_date timestamp,
    created_at timestamp not null default now(),
    updated_at timestamp not null default now()
);
